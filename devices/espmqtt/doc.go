// Package espmqtt is a behavioural model of Espressif's esp-mqtt client, release 1.1.0: what it puts on the wire, which
// events it posts, in which order and when. It is the MQTT client of the emulated ESP32.
//
// The model keeps the shape that explains the real client's timing: one task, one loop, at most one inbound packet and
// one outbox item per iteration, and a sleep that only inbound data ends (see task.go). Comments name the rules of the
// client's behaviour by id, such as ESP-TASK-03; a rule in the requirement lists has the same id.
//
// The model does what the real client does, for better or worse. A Behaviour makes another client of it: one without some
// of the real one's quirks (see Quirk), or one with planted defects (see Defect).
//
// The model speaks MQTT 3.1, 3.1.1 and 5.0 over TCP, TLS (by way of package esptls) and WebSocket on either. Its measure
// are transcripts of the real client, in testdata; of TLS there are none.
package espmqtt
