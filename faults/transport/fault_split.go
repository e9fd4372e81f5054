package transport

import "fmt"

// SplitRecords has the server send TLS records of no more than n bytes of content: the messages of the handshake as far
// as they are not encrypted, and all data.
func SplitRecords(n int) Fault {
	mustSize("SplitRecords", n)
	return Fault{kind: splitKind{n, "TLS records", func(p *plan) *splitting { return &p.records }}}
}

// SplitSegments has the server hand no more than n bytes at a time to TCP, which makes a segment of each where it can.
func SplitSegments(n int) Fault {
	mustSize("SplitSegments", n)
	return Fault{kind: splitKind{n, "TCP segments", func(p *plan) *splitting { return &p.tcp }}}
}

type splitKind struct {
	size   int
	pieces string
	where  func(*plan) *splitting
}

func (k splitKind) String() string {
	return fmt.Sprintf("%s of no more than %d bytes", k.pieces, k.size)
}
func (splitKind) needs() layer { return layerTLS }

func (k splitKind) prepare(p *plan, c *chance) {
	pieces := k.where(p)
	*pieces = append(*pieces, cut{k.size, c})
}

// mustSize panics where a piece would have nothing in it.
func mustSize(constructor string, n int) {
	if n < 1 {
		panic(fmt.Sprintf("transport: %s(%d): a piece has at least one byte", constructor, n))
	}
}
