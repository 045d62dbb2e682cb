package message

// structure writes a part, and notes where its extension data stand.
func (w *wire) structure(p *Part) {
	w.raw("(")
	if p.IsMultipart() {
		for _, child := range p.Parts {
			w.structure(child)
		}
		w.raw(" ")
		w.str(p.Subtype)
		w.extension(p, func() { w.params(p.Params) })
		w.raw(")")
		return
	}
	w.str(p.Type)
	w.raw(" ")
	w.str(p.Subtype)
	w.raw(" ")
	w.params(p.Params)
	w.raw(" ")
	w.nstr(p.ID)
	w.raw(" ")
	w.nstr(p.Description)
	w.raw(" ")
	w.str(p.Encoding)
	w.raw(" ")
	w.number(p.End - p.Body)
	if p.Embedded != nil {
		w.raw(" ")
		w.envelope(w.m.Envelope(p.Embedded))
		w.raw(" ")
		w.structure(p.Embedded)
	}
	if p.Embedded != nil || p.Type == "text" {
		w.raw(" ")
		w.number(p.Lines)
	}
	w.extension(p, func() { w.nstr(p.MD5) })
	w.raw(")")
}

// extension writes the extension data: first what parts of its kind have, then disposition, language and location.
func (w *wire) extension(p *Part, first func()) {
	if !w.extended {
		return
	}
	from := len(w.b)
	w.raw(" ")
	first()
	if p.Disposition == "" {
		w.raw(" NIL")
	} else {
		w.raw(" (")
		w.str(p.Disposition)
		w.raw(" ")
		w.params(p.DispositionParams)
		w.raw(")")
	}
	w.raw(" ")
	w.languages(p.Language)
	w.raw(" ")
	w.nstr(p.Location)
	w.extensions = append(w.extensions, span{from, len(w.b)})
}

func (w *wire) languages(tags []string) {
	if len(tags) == 0 {
		w.raw("NIL")
		return
	}
	for i, tag := range tags {
		if i == 0 {
			w.raw("(")
		} else {
			w.raw(" ")
		}
		w.str(tag)
	}
	w.raw(")")
}

func (w *wire) params(params []Param) {
	if len(params) == 0 {
		w.raw("NIL")
		return
	}
	for i, p := range params {
		if i == 0 {
			w.raw("(")
		} else {
			w.raw(" ")
		}
		w.str(p.Name)
		w.raw(" ")
		w.str(p.Value)
	}
	w.raw(")")
}
