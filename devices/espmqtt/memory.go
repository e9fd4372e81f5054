package espmqtt

import (
	"bytes"
	"encoding/binary"
)

// memory is what lies at n addresses of the board's heap, the first of them so many bytes behind the start of the input
// buffer. Behind the buffer's end are the blocks that were allocated after it, each with the word before it that holds its
// size: the texts of the configuration. Behind the last of them is a free block, which begins with pointers of the heap.
// Where these things lie is made up, but such things lie there (ESP-QRK-34).
func (c *client) memory(from, n int) []byte {
	buffer := c.receiver.buffer
	if from+n <= len(buffer) {
		return buffer[from : from+n : from+n]
	}
	found := make([]byte, n)
	if from < len(buffer) {
		copy(found, buffer[from:])
	}
	heap := make([]byte, -len(buffer)&3) // a block takes whole words
	s := &c.settings
	for _, text := range []string{s.username, s.password, s.clientID, s.willTopic, string(s.willMessage), s.host, s.path, s.scheme} {
		if text != "" {
			heap = appendBlock(heap, text)
		}
	}
	for _, word := range []uint32{freeBlock, freeList, freeList} {
		heap = binary.LittleEndian.AppendUint32(heap, word)
	}
	at := from - len(buffer) // of the first byte, behind the buffer's end
	copy(found[max(-at, 0):], heap[min(max(at, 0), len(heap)):])
	return found
}

// Words of the heap of a board: the size of a free block with its flags, and what links it to others.
const (
	freeBlock = 0x14001
	freeList  = 0x3ffae1d0
)

// appendBlock appends a block of the heap with a text of C in it: its size, a multiple of 4 and at least 12, and the text.
func appendBlock(heap []byte, text string) []byte {
	size := max((len(text)+1+3)&^3, 12)
	heap = binary.LittleEndian.AppendUint32(heap, uint32(size))
	return append(append(heap, text...), make([]byte, size-len(text))...)
}

// textAt is what C takes for a text at a place in memory: all up to the next NUL.
func (c *client) textAt(from int) []byte {
	const enough = 1 << 16
	text, _, _ := bytes.Cut(c.memory(from, enough), []byte{0})
	return text
}
