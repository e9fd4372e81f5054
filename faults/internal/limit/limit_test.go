package limit

import "testing"

func TestLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		limit Limit
		text  string
		takes []int // of the counts 0 to 4, met in order
	}{
		{Limit{}, "", []int{0, 1, 2, 3, 4}},
		{Limit{}.Times(1), ", once", []int{0}},
		{Limit{}.Times(2), ", 2 times", []int{0, 1}},
		{Limit{}.Nth(2), ", on the 2nd connection", []int{2}},
		{Limit{}.Nth(11), ", on the 11th connection", nil},
		{Limit{}.From(3), ", from the 3rd connection on", []int{3, 4}},
		{Limit{}.From(1).Times(2), ", 2 times", []int{1, 2}},
		{Limit{}.From(2).Times(1), ", from the 2nd connection on, once", []int{2}},
	} {
		if got := c.limit.Text("connection"); got != c.text {
			t.Errorf("text %q, want %q", got, c.text)
		}
		fired := 0
		for count := range 5 {
			if !c.limit.Allows(count, fired) {
				continue
			}
			if fired >= len(c.takes) || c.takes[fired] != count {
				t.Errorf("%q takes %d, want %v", c.text, count, c.takes)
				break
			}
			fired++
		}
		if fired != len(c.takes) {
			t.Errorf("%q takes %d of %v", c.text, fired, c.takes)
		}
	}
}

func TestCountsBeginAtOne(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(){
		"Nth": func() { Limit{}.Nth(0) }, "From": func() { Limit{}.From(-1) }, "Times": func() { Limit{}.Times(0) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes a count below 1", name)
				}
			}()
			call()
		}()
	}
}
