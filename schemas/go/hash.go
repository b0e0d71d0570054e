package schema

// A blake is one of the two hashes of RFC 7693, without a key: BLAKE2b on words of 64 bits, BLAKE2s on words of 32. Ids
// are short, so it is not made for speed; the standard library has neither.
type blake[W uint32 | uint64] struct {
	start     [8]W
	rotations [4]int
	rounds    int
	bits      int // of a word
}

var blakeB = blake[uint64]{
	start: [8]uint64{
		0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
		0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
	},
	rotations: [4]int{32, 24, 16, 63}, rounds: 12, bits: 64,
}

var blakeS = blake[uint32]{
	start: [8]uint32{
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	},
	rotations: [4]int{16, 12, 8, 7}, rounds: 10, bits: 32,
}

// sum returns a digest of size bytes, at most eight words.
func (h *blake[W]) sum(message []byte, size int) []byte {
	state := h.start
	state[0] ^= 0x01010000 ^ W(size)
	length := 16 * h.bits / 8
	count := 0
	for ; len(message)-count > length; count += length {
		h.compress(&state, message[count:count+length], W(count+length), false)
	}
	last := make([]byte, length)
	copy(last, message[count:])
	h.compress(&state, last, W(len(message)), true)
	var digest []byte
	for _, word := range state {
		for shift := 0; shift < h.bits; shift += 8 {
			digest = append(digest, byte(word>>shift))
		}
	}
	return digest[:size]
}

// compress mixes a block into the state; count is how much of the message there is with it.
func (h *blake[W]) compress(state *[8]W, block []byte, count W, isLast bool) {
	var words, mixed [16]W
	for place, letter := range block {
		words[place*8/h.bits] |= W(letter) << (place * 8 % h.bits)
	}
	copy(mixed[:], state[:])
	copy(mixed[8:], h.start[:])
	mixed[12] ^= count
	if isLast {
		mixed[14] = ^mixed[14]
	}
	for round := range h.rounds {
		order := &blakeOrder[round%10]
		for step, lanes := range blakeLanes {
			h.mix(&mixed, lanes, words[order[2*step]], words[order[2*step+1]])
		}
	}
	for place := range state {
		state[place] ^= mixed[place] ^ mixed[place+8]
	}
}

func (h *blake[W]) mix(v *[16]W, lanes [4]int, x, y W) {
	a, b, c, d := lanes[0], lanes[1], lanes[2], lanes[3]
	v[a] += v[b] + x
	v[d] = h.rotated(v[d]^v[a], 0)
	v[c] += v[d]
	v[b] = h.rotated(v[b]^v[c], 1)
	v[a] += v[b] + y
	v[d] = h.rotated(v[d]^v[a], 2)
	v[c] += v[d]
	v[b] = h.rotated(v[b]^v[c], 3)
}

func (h *blake[W]) rotated(word W, which int) W {
	count := h.rotations[which]
	return word>>count | word<<(h.bits-count)
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
