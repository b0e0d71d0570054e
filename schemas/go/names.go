package schema

import (
	"fmt"
	"hash/crc32"
	"strings"
)

const (
	subjectBuckets = 8
	stateBuckets   = 64
)

// SubjectKeys are the keys of one subject in Redis; all of them lie in the stream's own hash slot.
type SubjectKeys struct {
	// Subject is what they belong to.
	Subject string
	// Stream is the key of the messages.
	Stream string
}

// KeysOf returns the keys of a subject, which is taken to be valid.
func KeysOf(subject string) SubjectKeys {
	return SubjectKeys{subject, strings.ReplaceAll(subject, ".", ":")}
}

// SubjectOf is the subject whose stream has this key.
func SubjectOf(stream string) string { return strings.ReplaceAll(stream, ":", ".") }

func (k SubjectKeys) companion(name string) string { return "{" + k.Stream + "}:" + name }

func (k SubjectKeys) checksum() uint32 { return crc32.ChecksumIEEE([]byte(k.Stream)) }

// Delayed is a sorted set: ids of delayed messages by the unix milliseconds at which they are due.
func (k SubjectKeys) Delayed() string { return k.companion("delayed") }

// Later is a hash: id to delayed message.
func (k SubjectKeys) Later() string { return k.companion("later") }

// Wake is a sharded channel: something was stored here.
func (k SubjectKeys) Wake() string { return k.companion("wake") }

// SeenID is a string: that a message with this id was published.
func (k SubjectKeys) SeenID(id string) string { return k.companion("seen:i:" + id) }

// SeenKey is a string: the id that was first published with this idempotency key.
func (k SubjectKeys) SeenKey(key string) string { return k.companion("seen:k:" + key) }

// Waiting is a sorted set: what a group has refused, by the unix milliseconds from which it may come back.
func (k SubjectKeys) Waiting(group string) string { return k.companion("waiting:" + group) }

// Slot is the hash slot of all of them.
func (k SubjectKeys) Slot() int { return Slot(k.Stream) }

// Bucket says which part of its stream's index of subjects the subject is in.
func (k SubjectKeys) Bucket() int { return int(k.checksum() % subjectBuckets) }

// Mark is the last six digits of entry ids that gbe makes for this subject.
func (k SubjectKeys) Mark() int { return int(k.checksum() % 1_000_000) }

// Index is the sorted set of the subjects in use, and the channel that names new ones. Its argument is the
// configured stream that covers the subject, with the namespace: gbe-events-audit, gbe-billing.
func (k SubjectKeys) Index(stream string) string {
	return fmt.Sprintf("{gbe/subjects/%s/%d}", stream, k.Bucket())
}

// NATSConsumer is the durable consumer of a group's subscription to a subject or pattern, which all of its members
// share; it lies on the stream that stores the subject.
func NATSConsumer(group, pattern string) string {
	return fmt.Sprintf("%s-%x", group, blakeS.sum([]byte(pattern), 6))
}

// StateKeys say where a record lies in Redis and in NATS.
type StateKeys struct {
	// Store is the configured state.bucket, such as gbe-state.
	Store string
	// Key is the record's, such as gbe.state.tasks.email-send.01M8A2XBX214ZQTHTJFHP02E9D.
	Key string
}

// Bucket is which of 64 parts of the store in Redis has the record.
func (k StateKeys) Bucket() int { return int(crc32.ChecksumIEEE([]byte(k.Key)) % stateBuckets) }

// Tag begins every key of the bucket, so that they lie in one slot.
func (k StateKeys) Tag() string { return fmt.Sprintf("{%s:%d}", k.Store, k.Bucket()) }

// Slot is the hash slot of the bucket.
func (k StateKeys) Slot() int { return Slot(k.Tag()) }

// Record is a hash: the record's fields.
func (k StateKeys) Record() string { return k.Tag() + ":r:" + strings.ReplaceAll(k.Key, ".", ":") }

// Keys is a sorted set: the keys of the bucket's records, by name.
func (k StateKeys) Keys() string { return k.Tag() + ":keys" }

// Due is a sorted set: keys by their deadline of an index.
func (k StateKeys) Due(index string) string { return k.Tag() + ":due:" + index }

// Ends is a sorted set: keys by the end of their records' life.
func (k StateKeys) Ends() string { return k.Tag() + ":ends" }

// Seq is a counter of changes.
func (k StateKeys) Seq() string { return k.Tag() + ":seq" }

// Log is a sorted set: keys by their last change.
func (k StateKeys) Log() string { return k.Tag() + ":log" }

// ChangesChannel is the channel on which changes are announced.
func (k StateKeys) ChangesChannel() string { return k.Tag() + ":changes" }

// NATSStream is the stream of the store.
func (k StateKeys) NATSStream() string { return "KV_" + k.Store }

// NATSRecord is the subject whose last message is the record.
func (k StateKeys) NATSRecord() string { return "$KV." + k.Store + "." + k.Key }

// NATSEntry is the subject of an entry of the deadline index: 13 digits of unix milliseconds, a token each.
func (k StateKeys) NATSEntry(index string, deadline int64) string {
	digits := strings.Join(strings.Split(fmt.Sprintf("%013d", deadline), ""), ".")
	return fmt.Sprintf("gbe-due.%s.%s.%s.%s", k.Store, index, digits, k.Key)
}

// TaskNames are the subjects, groups and record keys of tasks in one namespace.
type TaskNames struct{ Namespace string }

// StatePrefix begins the keys of all tasks' records.
func (n TaskNames) StatePrefix() string { return n.Namespace + ".state.tasks" }

func (n TaskNames) of(taskType, name string) string {
	return n.Namespace + ".tasks." + taskType + "." + name
}

// Queue is where signals of a priority go.
func (n TaskNames) Queue(taskType string, priority TaskRecordPriority) string {
	if priority == TaskRecordPriorityNormal {
		return n.of(taskType, "queue")
	}
	return n.of(taskType, "queue."+string(priority))
}

// Progress is where progress goes.
func (n TaskNames) Progress(taskType string) string { return n.of(taskType, "progress") }

// Terminal is where outcomes go.
func (n TaskNames) Terminal(taskType string) string { return n.of(taskType, "terminal") }

// Group is the consumer group of a type's workers.
func (n TaskNames) Group(taskType string) string { return taskType + "-workers" }

// Record is the key of a task's record.
func (n TaskNames) Record(taskType, taskID string) string {
	return n.StatePrefix() + "." + taskType + "." + taskID
}

// Reply is where one client hears of the ends of the tasks that it waits for.
func (n TaskNames) Reply(clientID string) string { return n.of("_reply", clientID) }

// DeadLetters is where the dead letters of tasks go.
func (n TaskNames) DeadLetters() string { return n.Namespace + "._deadletter.tasks" }

// JobNames are the subjects and record keys of jobs in one namespace.
type JobNames struct{ Namespace string }

// Event is where the life of jobs is told.
func (n JobNames) Event(jobType string, state JobEventState) string {
	return n.Namespace + ".jobs." + jobType + "." + string(state)
}

// Record is the key of a job's record.
func (n JobNames) Record(jobID string) string { return n.Namespace + ".state.jobs." + jobID }

// Plan is the key of what a job never changes: its definition and parameters.
func (n JobNames) Plan(jobID string) string { return n.Namespace + ".state.jobplans." + jobID }

// Items is the key of the states of some items of a fan-out.
func (n JobNames) Items(jobID string, node, chunk int) string {
	return fmt.Sprintf("%s.state.jobitems.%s.%d.%d", n.Namespace, jobID, node, chunk)
}
