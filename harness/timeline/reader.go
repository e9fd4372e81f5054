package timeline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrCutOff says that a record ends in the middle of a line, as it does when the run was killed.
var ErrCutOff = errors.New("record is cut off")

// Read reads a record that a Recorder wrote. Of a record that is cut off or damaged it returns the events up to the
// damage, with an error that wraps ErrCutOff in the first case and names the line in both.
func Read(in io.Reader) ([]Event, error) {
	var events []Event
	r := bufio.NewReader(in)
	for number := 1; ; number++ {
		line, err := r.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return events, fmt.Errorf("line %d: %w", number, err)
		}
		atEnd := err != nil
		if len(bytes.TrimSpace(line)) == 0 {
			if atEnd {
				return events, nil
			}
			continue
		}
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			if atEnd {
				return events, fmt.Errorf("line %d: %w", number, ErrCutOff)
			}
			return events, fmt.Errorf("line %d: %w", number, err)
		}
		events = append(events, e)
		if atEnd {
			return events, nil
		}
	}
}
