// Package scenarios holds the Ginkgo scenarios: one file a topic. A scenario reads like the test plan of a person at a
// bench: it arms faults, lets the device do something, and says what must be seen. Each names the requirements that it
// covers and at least one planted defect that must make it fail.
//
// Importing the package declares the scenarios; harness.Run plays them.
package scenarios
