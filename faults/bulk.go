package faults

import (
	"errors"
	"fmt"
	"io"
)

// spliceFrom is how many bytes a packet has to have, at least, for that it pays to relay it without bringing it into this
// process.
const spliceFrom = 16 << 10

// errNoPipe is a shortage of the system's: a splicer has nothing to keep bytes in.
var errNoPipe = errors.New("no pipe")

// fill takes in what comes next. Bytes that nobody is to see it relays at once.
func (f *flow) fill() (int, error) {
	if !f.canSplice() {
		return f.in.fill()
	}
	limit := f.rest
	switch {
	case f.link.proxy.options.Unread:
		limit = pipeSize
	case f.rest == 0 && f.bulky:
		var err error
		if limit, err = f.foresee(); err != nil {
			return 0, err // which the system tells once
		}
		if limit == 0 {
			return f.in.fill()
		}
	case f.rest < spliceFrom && !f.bulky:
		return f.in.fill()
	}
	n, err := f.splicer.take(limit)
	switch {
	case errors.Is(err, errNoPipe):
		f.splicer = nil
		return f.in.fill()
	case n == 0:
		return 0, err
	}
	if f.rest > 0 {
		if f.rest -= n; f.rest == 0 {
			f.counts++
			if f.tail != nil {
				f.exits = append(f.exits, *f.tail)
			}
		}
	}
	f.handSpliced(n)
	f.counts, f.exits = 0, f.exits[:0]
	return n, err
}

// canSplice says whether nobody has anything to do with what comes next, as long as it is part of a packet that is
// relayed as it comes.
func (f *flow) canSplice() bool {
	return f.splicer != nil && f.in.start == f.in.end && f.fate == (fate{}) && f.foreign == "" && !f.stopped && f.paths.Load() == nil
}

// foresee waits for the next packet's fixed header and takes the packet on, to be relayed as it comes, where it is a large
// one again that nobody wants to see. It returns its length then, and 0 where everything is left to who reads. The error
// is why nothing more will come.
func (f *flow) foresee() (size int, err error) {
	f.bulky = false
	var header [1 + lengthBytes]byte
	n, err := f.splicer.peek(header[:])
	switch {
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	case f.first || f.link.packets:
		return 0, nil
	}
	kind := PacketType(header[0] >> 4)
	size, _ = frame(header[:n], false)
	if size < spliceFrom || f.wanted()&(1<<kind) != 0 {
		return 0, nil
	}
	f.nth++
	f.traffic.packets[kind].Add(1)
	f.bulky = true
	f.rest, f.fate, f.tail = size, fate{}, nil
	return size, nil
}

// handSpliced is hand for bytes that the splicer has taken in.
func (f *flow) handSpliced(n int) {
	partial := f.rest > 0
	if f.paths.Load() == nil && f.queue.claim(partial) {
		if f.glued == nil && f.frozen.Load() == nil {
			if err := f.sendSpliced(n); err != nil {
				f.sinkFailed(err)
			}
		} else if data, ok := f.unsplice(); ok {
			f.handOver(delivery{data: data, exits: f.exits, counts: f.counts, partial: partial})
		}
		if f.queue.giveBack() {
			f.link.sendFIN(f) // unless the link ended otherwise
		}
		return
	}
	if data, ok := f.unsplice(); ok {
		f.hand(delivery{data: data, exits: f.exits, counts: f.counts, partial: partial})
	}
}

// unsplice brings what the splicer has taken in into this process after all. Where that fails, the bytes are lost, and a
// stream with a hole must not go on.
func (f *flow) unsplice() ([]byte, bool) {
	data, err := f.splicer.bytes()
	if err != nil {
		f.link.lost(f.source, fmt.Sprintf("taking bytes out of a pipe: %v", err))
		f.link.end(RST)
	}
	return data, err == nil
}

// sendSpliced is send for bytes that the splicer has taken in.
func (f *flow) sendSpliced(n int) error {
	if !f.link.recordExits(f, f.exits) {
		_, err := f.splicer.bytes()
		return err
	}
	f.traffic.sent.Add(uint64(n))
	return f.sink.writeBy(f.splicer.give)
}
