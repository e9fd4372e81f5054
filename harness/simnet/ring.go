package simnet

// bufferSize bounds the bytes that one end of a connection keeps unread. It is a power of two.
const bufferSize = 64 << 10

// firstBuffer is what an end allocates for its first bytes. Most connections carry small packets only, and a long
// scenario opens thousands of them.
const firstBuffer = 256

// ring is a receive buffer. Its zero value is empty; it grows up to bufferSize and never shrinks.
type ring struct {
	data   []byte
	start  int // of the oldest unread byte in data
	length int // unread bytes
}

// write takes as much of p as there is room for and returns how much that is.
func (r *ring) write(p []byte) int {
	r.grow(r.length + len(p))
	p = p[:min(len(p), len(r.data)-r.length)]
	end := r.wrap(r.start + r.length)
	n := copy(r.data[end:], p)
	copy(r.data, p[n:])
	r.length += len(p)
	return len(p)
}

// read moves the oldest bytes to p and returns how many they are.
func (r *ring) read(p []byte) int {
	p = p[:min(len(p), r.length)]
	n := copy(p, r.data[r.start:])
	copy(p[n:], r.data)
	r.start = r.wrap(r.start + len(p))
	r.length -= len(p)
	return len(p)
}

// grow makes room for the wanted number of bytes, as far as bufferSize allows.
func (r *ring) grow(wanted int) {
	if wanted <= len(r.data) || len(r.data) == bufferSize {
		return
	}
	size := max(len(r.data), firstBuffer)
	for size < wanted && size < bufferSize {
		size *= 2
	}
	data := make([]byte, size)
	*r = ring{data: data, length: r.read(data)}
}

// wrap brings a position that is at most one round too far back into data.
func (r *ring) wrap(position int) int {
	if position >= len(r.data) {
		position -= len(r.data)
	}
	return position
}
