// Package esptls is what ESP-IDF's esp-tls puts on top of TCP, as an MQTT client on an ESP32 sees it: TLS with the
// manners, the failures and the error codes of the board. Names such as ESP-TLS-01 are rules of the description of
// esp-mqtt's behaviour.
//
// It runs over real sockets as over a network in memory, inside a testing/synctest bubble too, with one exception: TLS
// with a pre-shared key (see PSK) needs another program.
package esptls

// Log is given each line that the board would log: its level (one of E W I D V), its tag and its text.
type Log func(level byte, tag, text string)
