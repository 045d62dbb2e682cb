package admin

import (
	"context"

	"domicile/move"
)

func (s *Server) moveRoutes() {
	route(s, "move", "ls", anyone, s.listMoves)
	route(s, "move", "show", anyone, s.showMove)
	route(s, "move", "cancel", operators, s.cancelMove)
}

func (s *Server) listMoves(ctx context.Context, who caller, _ struct{}) ([]move.Info, error) {
	if err := s.access(ctx, who, ""); err != nil {
		return nil, err
	}
	return s.cfg.Moves.Moves(ctx)
}

// showMove records no access: it tells no more than the log does, and whoever watches a move asks each second.
func (s *Server) showMove(ctx context.Context, _ caller, in ID) (move.Info, error) {
	return s.cfg.Moves.Move(ctx, in.ID)
}

func (s *Server) cancelMove(ctx context.Context, who caller, in ID) (move.Info, error) {
	if _, err := s.record(ctx, who, "operator.move.cancel", "", map[string]string{"move": in.ID}); err != nil {
		return move.Info{}, err
	}
	return s.cfg.Moves.Cancel(ctx, in.ID, who.Operator)
}
