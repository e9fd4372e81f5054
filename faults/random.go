package faults

import "math/rand/v2"

// chance returns the random numbers of one decision: the same for the same seed and the same place in the traffic,
// whatever else goes on at the same time. The purpose keeps decisions at one place apart.
func chance(seed uint64, purpose chancePurpose, number, connection int, direction Direction, nth int) *rand.Rand {
	place := mix(mix(mix(uint64(purpose)<<56|uint64(number))^uint64(connection)) ^ uint64(direction)<<56 ^ uint64(nth))
	return rand.New(rand.NewPCG(seed, place))
}

// chancePurpose is what is decided.
type chancePurpose byte

const (
	whetherRuleActs chancePurpose = iota + 1
	whetherConditionHolds
	howConditionActs
)

// mix spreads a number over all 64 bits (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
