package disclosure

import (
	"context"
	"fmt"
	"os"
	"testing"
)

// A US warrant for an Irish customer's mail, served on the Irish entity: what four laws answer.
func ExampleEngine_Explain() {
	w, done := exampleWorld()
	defer done()
	ireland := w.at("eu-ireland", "gdpr-48", "mlat")
	warrant := w.sign(w.warrant("mail-ie", "eu-ireland", irish), w.court.as("issuing"))
	for _, bundle := range []string{"us-2014", "us-2016", "us-2018", "gdpr-48"} {
		x, err := ireland.Explain(context.Background(), ireland.officer(officer1), ExplainQuery{Token: warrant, Target: irish, Bundle: bundle})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(bundle, x.Decision, x.Code, x.Rule)
	}
	// Output:
	// us-2014 execute  us-2014/control
	// us-2016 refuse content_stored_abroad us-2016/content-abroad
	// us-2018 refer conflict_of_laws us-2018/comity
	// gdpr-48 refuse conflict_of_laws gdpr-48/third-country
}

// exampleWorld is newWorld for an example, which has no testing.TB.
func exampleWorld() (*world, func()) {
	dir, err := os.MkdirTemp("", "disclosure")
	if err != nil {
		panic(err)
	}
	tb := &exampleTB{dir: dir}
	return newWorld(tb), func() {
		for i := len(tb.cleanups) - 1; i >= 0; i-- {
			tb.cleanups[i]()
		}
		os.RemoveAll(dir)
	}
}

// exampleTB is as much of a testing.TB as the kit uses.
type exampleTB struct {
	testing.TB
	dir      string
	cleanups []func()
}

func (e *exampleTB) TempDir() string  { return e.dir }
func (e *exampleTB) Helper()          {}
func (e *exampleTB) Cleanup(f func()) { e.cleanups = append(e.cleanups, f) }
func (e *exampleTB) Fatal(a ...any)   { panic(fmt.Sprint(a...)) }
