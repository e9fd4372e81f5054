// Package esptransport is what ESP-IDF's tcp_transport and esp-tls put on top of TCP, as an MQTT client on an ESP32
// sees it: TLS and WebSocket, with the manners, the failures and the error codes of the board. Names such as ESP-TLS-01
// are rules of the description of esp-mqtt's behaviour.
//
// Each layer takes a net.Conn and gives one, so that they stack in any order that makes sense: TLS over TCP is mqtts,
// WebSocket over TCP is ws, WebSocket over TLS is wss. They run over real sockets as over a network in memory, inside a
// testing/synctest bubble too, with one exception: TLS with a pre-shared key (see PSK) needs another program.
//
// Deadlines work through all layers. A board asks its transport for data with a time to wait; over a net.Conn that is a
// read deadline of now plus that time. A net.Conn whose deadline has passed gives nothing, even if bytes are there, so
// for a wait of 0 set the deadline a moment ahead: a nanosecond in virtual time, about a millisecond in real time.
package esptransport

// Log is given each line that the board would log: its level (one of E W I D V), its tag and its text.
type Log func(level byte, tag, text string)
