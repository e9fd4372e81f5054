package toxiproxy

import (
	"fmt"
	"math"
	"testing"
)

// TestLargestAttributes: numbers that no machine's int holds are not cut off to small or negative ones.
func TestLargestAttributes(t *testing.T) {
	t.Parallel()
	const most = math.MaxInt64
	for kind, test := range map[string]struct{ attributes, want string }{
		"bandwidth": {`{"rate": %d}`, fmt.Sprintf("bandwidth %d bytes/s to the device", whole(1<<40*1000))},
		"slicer": {`{"average_size": %d, "size_variation": 9223372036854775807, "delay": 9223372036854775807}`,
			"slice into 1048576 ± 1048576 bytes 87600h0m0s apart to the device"},
		"limit_data": {`{"bytes": %d}`, fmt.Sprintf("limit %d bytes to the device", int64(most))},
		"latency":    {`{"latency": %d}`, "latency 87600h0m0s to the device"},
	} {
		read, err := readToxic(fmt.Appendf(nil, `{"type": %q, "attributes": `+test.attributes+`}`, kind, int64(most)))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		if c, err := read.condition(); err != nil || c.String() != test.want {
			t.Errorf("%s: %s, %v, want %s", kind, c, err, test.want)
		}
	}
}
