package schema

import (
	"encoding/binary"
	"math/bits"
)

// blake2b is BLAKE2b without a key, with a digest of size bytes (RFC 7693). Ids are short, so it is not made for speed;
// the standard library has none.
func blake2b(message []byte, size int) []byte {
	state := blakeStart
	state[0] ^= 0x01010000 ^ uint64(size)
	var block [128]byte
	count := uint64(0)
	for len(message) > len(block) {
		copy(block[:], message)
		message = message[len(block):]
		count += uint64(len(block))
		blakeCompress(&state, &block, count, false)
	}
	block = [128]byte{}
	copy(block[:], message)
	blakeCompress(&state, &block, count+uint64(len(message)), true)
	var digest [64]byte
	for place, word := range state {
		binary.LittleEndian.PutUint64(digest[8*place:], word)
	}
	return digest[:size]
}

func blakeCompress(state *[8]uint64, block *[128]byte, count uint64, isLast bool) {
	var words, mixed [16]uint64
	for place := range words {
		words[place] = binary.LittleEndian.Uint64(block[8*place:])
	}
	copy(mixed[:], state[:])
	copy(mixed[8:], blakeStart[:])
	mixed[12] ^= count
	if isLast {
		mixed[14] = ^mixed[14]
	}
	for round := range 12 {
		order := &blakeOrder[round%10]
		for step, lanes := range blakeLanes {
			blakeMix(&mixed, lanes, words[order[2*step]], words[order[2*step+1]])
		}
	}
	for place := range state {
		state[place] ^= mixed[place] ^ mixed[place+8]
	}
}

func blakeMix(v *[16]uint64, lanes [4]int, x, y uint64) {
	a, b, c, d := lanes[0], lanes[1], lanes[2], lanes[3]
	v[a] += v[b] + x
	v[d] = bits.RotateLeft64(v[d]^v[a], -32)
	v[c] += v[d]
	v[b] = bits.RotateLeft64(v[b]^v[c], -24)
	v[a] += v[b] + y
	v[d] = bits.RotateLeft64(v[d]^v[a], -16)
	v[c] += v[d]
	v[b] = bits.RotateLeft64(v[b]^v[c], -63)
}

var blakeStart = [8]uint64{
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
}

var blakeLanes = [8][4]int{
	{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
	{0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14},
}

var blakeOrder = [10][16]byte{
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
}

// Slot is the hash slot of a key in a Redis Cluster: CRC-16/XMODEM of what stands in its first braces, modulo 16,384
// (redis.io, cluster specification).
func Slot(key string) int {
	checksum := uint16(0)
	for _, letter := range []byte(hashTag(key)) {
		checksum ^= uint16(letter) << 8
		for range 8 {
			carry := checksum >> 15
			checksum = checksum<<1 ^ carry*0x1021
		}
	}
	return int(checksum % 16384)
}

func hashTag(key string) string {
	for start := range key {
		if key[start] != '{' {
			continue
		}
		for end := start + 1; end < len(key); end++ {
			if key[end] == '}' {
				if end > start+1 {
					return key[start+1 : end]
				}
				return key
			}
		}
		return key
	}
	return key
}
