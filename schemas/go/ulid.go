package schema

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	ulidAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	maxULIDTime  = 1<<48 - 1
)

var ulidForm = regexp.MustCompile(`^[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

// IsULID says whether a text is a ULID in its canonical spelling: 26 characters of Crockford's base32, in capitals.
func IsULID(text string) bool { return ulidForm.MatchString(text) }

// EncodeULID makes the ULID of a moment, unix milliseconds of which the lower 48 bits count, and 80 bits of randomness.
func EncodeULID(timeMS uint64, randomness [10]byte) string {
	var value [16]byte
	binary.BigEndian.PutUint64(value[:8], timeMS<<16)
	copy(value[6:], randomness[:])
	return spelled(value)
}

// spelled writes 128 bits as 26 digits of five; the first has three of them.
func spelled(value [16]byte) string {
	var text [26]byte
	high, low := binary.BigEndian.Uint64(value[:8]), binary.BigEndian.Uint64(value[8:])
	for place := 25; place >= 0; place-- {
		text[place] = ulidAlphabet[low&31]
		low = low>>5 | high<<59
		high >>= 5
	}
	return string(text[:])
}

// ParseULID returns the unix milliseconds and the randomness of a ULID. An error is an *InvalidError.
func ParseULID(text string) (timeMS uint64, randomness [10]byte, err error) {
	if !IsULID(text) {
		return 0, randomness, invalid(ReasonFormat, "", "%s is no ULID", abridged(text))
	}
	value := ulidValue(text)
	copy(randomness[:], value[6:])
	return binary.BigEndian.Uint64(value[:8]) >> 16, randomness, nil
}

func ulidValue(text string) (value [16]byte) {
	var high, low uint64
	for place := range text {
		high = high<<5 | low>>59
		low = low<<5 | uint64(strings.IndexByte(ulidAlphabet, text[place]))
	}
	binary.BigEndian.PutUint64(value[:8], high)
	binary.BigEndian.PutUint64(value[8:], low)
	return value
}

var lastULID struct {
	sync.Mutex
	timeMS     uint64
	randomness [10]byte
}

// NewULID makes a ULID of now. Those of one process rise strictly, also within a millisecond and when the clock steps
// back.
func NewULID() string {
	lastULID.Lock()
	defer lastULID.Unlock()
	if moment := uint64(max(0, time.Now().UnixMilli())); moment > lastULID.timeMS {
		lastULID.timeMS = moment
		if _, err := rand.Read(lastULID.randomness[:]); err != nil {
			panic("schema: no randomness: " + err.Error())
		}
		lastULID.randomness[0] &= 0x7F // so that counting up within the millisecond cannot run over
	} else {
		countUp(lastULID.randomness[:])
	}
	return EncodeULID(lastULID.timeMS, lastULID.randomness)
}

func countUp(number []byte) {
	for place := len(number) - 1; place >= 0; place-- {
		if number[place]++; number[place] != 0 {
			return
		}
	}
}

// ulidOfPlace is the id of a message that was stored without one: a ULID of its time and of its place in the stream.
func ulidOfPlace(timeMS, place uint64) string {
	var randomness [10]byte
	binary.BigEndian.PutUint64(randomness[2:], place)
	return EncodeULID(min(timeMS, maxULIDTime), randomness)
}

// hashedID is the ULID of an unkeyed BLAKE2b of 16 bytes.
func hashedID(text string) string { return spelled([16]byte(blakeB.sum([]byte(text), 16))) }

// TaskIDOfKey is the id of the one task with this idempotency key: the same for every submit.
func TaskIDOfKey(taskType, key string) string { return hashedID(taskType + "\n" + key) }

// JobIDOfKey is the id of the one job with this idempotency key: the same for every start.
func JobIDOfKey(jobType, key string) string { return hashedID("job\n" + jobType + "\n" + key) }

// A TaskPlace is where in a job a task belongs.
type TaskPlace struct {
	// Node is the task's number in the job: 12 bits.
	Node uint16
	// Item is the number within a fan-out: 20 bits.
	Item uint32
	// Run is the number of the run, from 1: 8 bits.
	Run uint8
}

// TaskIDOfJob is the id of a task of a job: 88 bits of the job's hash, then the place.
func TaskIDOfJob(jobID string, place TaskPlace) string {
	bits := uint64(place.Node&0xFFF)<<28 | uint64(place.Item&0xFFFFF)<<8 | uint64(place.Run)
	var tail [8]byte
	binary.BigEndian.PutUint64(tail[:], bits)
	return spelled([16]byte(append(blakeB.sum([]byte(jobID), 11), tail[3:]...)))
}

// PlaceOfTask reads the place from the id of a task; false if it is no task of that job.
func PlaceOfTask(jobID, taskID string) (TaskPlace, bool) {
	if !IsULID(taskID) {
		return TaskPlace{}, false
	}
	value := ulidValue(taskID)
	if hex.EncodeToString(value[:11]) != hex.EncodeToString(blakeB.sum([]byte(jobID), 11)) {
		return TaskPlace{}, false
	}
	bits := binary.BigEndian.Uint64(append([]byte{0, 0, 0}, value[11:]...))
	return TaskPlace{uint16(bits >> 28), uint32(bits >> 8 & 0xFFFFF), uint8(bits)}, true
}
