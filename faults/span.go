package faults

import "fmt"

// span is a range of counts, from 1.
type span struct {
	first int
	last  int // included; 0 where there is no end
}

var everyMatch = span{first: 1}

func (s span) contains(count int) bool {
	return count >= s.first && (s.last == 0 || count <= s.last)
}

// limit returns the first n counts of the span, all of them where n is 0.
func (s span) limit(n int) span {
	if end := s.first + n - 1; n > 0 && (s.last == 0 || end < s.last) {
		s.last = end
	}
	return s
}

// String says which of several equal things are meant, such as: 1st-2nd.
func (s span) String() string {
	switch {
	case s == everyMatch:
		return "every"
	case s.last == 0:
		return ordinal(s.first) + " and later"
	case s.first == s.last:
		return ordinal(s.first)
	default:
		return ordinal(s.first) + "-" + ordinal(s.last)
	}
}

func ordinal(n int) string {
	ending := "th"
	if n%100/10 != 1 {
		switch n % 10 {
		case 1:
			ending = "st"
		case 2:
			ending = "nd"
		case 3:
			ending = "rd"
		}
	}
	return fmt.Sprintf("%d%s", n, ending)
}

// mustCount panics where a count is not one: a scenario that says so is wrong and would pass for the wrong reason.
func mustCount(method string, n int) {
	if n < 1 {
		panic(fmt.Sprintf("faults: %s(%d): counts begin at 1", method, n))
	}
}
