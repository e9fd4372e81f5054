package simnet

import (
	"bytes"
	"testing"
)

// FuzzRing compares a ring with a buffer that has no bounds and never wraps.
func FuzzRing(f *testing.F) {
	f.Add([]byte{10, 5, 255, 1, 255, 0, 255, 254, 255, 255})
	f.Add([]byte{255, 255, 255, 200, 255, 255, 255, 3, 1, 255, 255, 255})
	f.Add([]byte{1, 1, 2, 2, 3, 3, 0, 0, 4, 255})
	f.Fuzz(func(t *testing.T, sizes []byte) {
		var r ring
		var model bytes.Buffer
		var next byte
		for i, size := range sizes {
			p := make([]byte, int(size)*300)
			if i%2 == 0 {
				for j := range p {
					p[j] = next
					next = next*5 + 7
				}
				n := r.write(p)
				if want := min(len(p), bufferSize-model.Len()); n != want {
					t.Fatalf("step %d: took %d bytes, want %d", i, n, want)
				}
				model.Write(p[:n])
			} else {
				want := make([]byte, len(p))
				m, _ := model.Read(want)
				if n := r.read(p); n != m || !bytes.Equal(p[:n], want[:m]) {
					t.Fatalf("step %d: read %d bytes, want %d, or not the same ones", i, n, m)
				}
			}
			if r.length != model.Len() || len(r.data) > bufferSize {
				t.Fatalf("step %d: %d bytes unread in %d, want %d", i, r.length, len(r.data), model.Len())
			}
		}
	})
}
