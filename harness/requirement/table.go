package requirement

import (
	"fmt"
	"slices"
	"strings"
)

// parseTable reads a table: a line of column names, then one row per line, all with tabs between the columns. There is
// no quoting, so a value has neither tab nor line end, and no value begins or ends with a blank. The columns named in
// the call must be there and must have a value in every row; others may be there and may be empty.
func parseTable(data string, required ...string) ([]map[string]string, error) {
	var columns []string
	var rows []map[string]string
	number := 0
	for line := range strings.Lines(data) {
		number++
		values := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for _, v := range values {
			if v != strings.TrimSpace(v) {
				return nil, fmt.Errorf("line %d: %q begins or ends with a blank", number, v)
			}
		}
		if columns == nil {
			columns = values
			if err := checkColumns(columns, required); err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
			continue
		}
		if len(values) != len(columns) {
			return nil, fmt.Errorf("line %d: %d columns instead of %d", number, len(values), len(columns))
		}
		row := make(map[string]string, len(columns))
		for i, name := range columns {
			if values[i] == "" && slices.Contains(required, name) {
				return nil, fmt.Errorf("line %d: column %q has no value", number, name)
			}
			row[name] = values[i]
		}
		rows = append(rows, row)
	}
	if columns == nil {
		return nil, fmt.Errorf("the line of column names is missing")
	}
	return rows, nil
}

func checkColumns(columns, required []string) error {
	seen := make(map[string]bool)
	for _, name := range columns {
		if name == "" || seen[name] {
			return fmt.Errorf("column name %q is empty or not the only one", name)
		}
		seen[name] = true
	}
	for _, name := range required {
		if !seen[name] {
			return fmt.Errorf("column %q is missing", name)
		}
	}
	return nil
}
