package devices

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// TestTypist: who gives it lines does not wait for a console that takes none, and they are typed in their order.
func TestTypist(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var typist typist
		var typed []string
		takes := make(chan struct{})
		write := func(line string) {
			<-takes
			typed = append(typed, line)
		}
		for _, line := range []string{"a", "b", "c"} {
			typist.give(line, write)
		}
		synctest.Wait()
		if len(typed) > 0 {
			t.Errorf("typed %q", typed)
		}
		close(takes)
		synctest.Wait()
		typist.give("d", write)
		synctest.Wait()
		if !slices.Equal(typed, []string{"a", "b", "c", "d"}) {
			t.Errorf("typed %q", typed)
		}
	})
}

// TestTypistIsShared has several give lines.
func TestTypistIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var typist typist
		count := 0
		var giving sync.WaitGroup
		for range 10 {
			giving.Go(func() {
				for range 100 {
					typist.give("line", func(string) { count++ }) // by one goroutine at a time
				}
			})
		}
		giving.Wait()
		synctest.Wait()
		if count != 1000 {
			t.Errorf("%d lines were typed", count)
		}
	})
}
