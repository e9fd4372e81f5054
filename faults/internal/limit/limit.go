// Package limit says which of several equal things a fault befalls: connections, or lookups of a name.
package limit

import "fmt"

// Limit is a range of counts from 1, and how many of it a fault takes. The zero value is everything.
type Limit struct {
	first, last int // the range, both included; 0 where there is no bound
	times       int // 0: all
}

// Nth is the n-th alone.
func (l Limit) Nth(n int) Limit {
	mustCount("Nth", n)
	l.first, l.last = n, n
	return l
}

// From is the n-th and those behind it.
func (l Limit) From(n int) Limit {
	mustCount("From", n)
	l.first, l.last = n, 0
	return l
}

// Times is no more than n of them.
func (l Limit) Times(n int) Limit {
	mustCount("Times", n)
	l.times = n
	return l
}

// Allows says whether a fault that has struck fired times befalls the thing that has this count. What was there before
// the fault has the count 0.
func (l Limit) Allows(count, fired int) bool {
	return count >= l.first && (l.last == 0 || count <= l.last) && (l.times == 0 || fired < l.times)
}

// Text says it in words that begin with a comma, such as: , on the 2nd connection. It is empty where there is no limit.
func (l Limit) Text(thing string) string {
	text := ""
	switch {
	case l.first > 0 && l.last > 0:
		text = fmt.Sprintf(", on the %s %s", ordinal(l.first), thing)
	case l.first > 1:
		text = fmt.Sprintf(", from the %s %s on", ordinal(l.first), thing)
	}
	switch l.times {
	case 0:
		return text
	case 1:
		return text + ", once"
	}
	return fmt.Sprintf("%s, %d times", text, l.times)
}

func ordinal(n int) string {
	if n%100/10 != 1 {
		switch n % 10 {
		case 1:
			return fmt.Sprintf("%dst", n)
		case 2:
			return fmt.Sprintf("%dnd", n)
		case 3:
			return fmt.Sprintf("%drd", n)
		}
	}
	return fmt.Sprintf("%dth", n)
}

// mustCount panics where a count is not one: a scenario that says so is wrong and would pass for the wrong reason.
func mustCount(method string, n int) {
	if n < 1 {
		panic(fmt.Sprintf("faults: %s(%d): counts begin at 1", method, n))
	}
}
