// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

// Every maximum of the runtime that the user does not set, each with its reason. What the user sets stands in
// ChannelOptions and ServerOptions.
namespace nearcall::base {

// --- frames ---

// Four lanes: bulk, ordinary, interactive, control of the application. More would not be used; each costs a queue.
inline constexpr int kLanes = 4;

// A ring holds at least four of the largest frames, so that writer and reader work at the same time. Small, because
// sealed memory cannot be given back and every connection has two.
inline constexpr size_t kDefaultRingSize = size_t{64} << 10;
inline constexpr size_t kMinRingSize = size_t{4} << 10;
inline constexpr size_t kMaxRingSize = size_t{16} << 20;

// One piece of shared memory: a ring and what stands beside it. Bounded, whoever asks, because the kernel gives a memfd
// all memory of the machine, and calls its OOM killer, before it says ENOMEM.
inline constexpr size_t kMaxSharedMemorySize = 2 * kMaxRingSize;

// A message up to this size is serialised straight into the transport; a larger one by chunks, through a private buffer
// and with streaming stores. The crossover was measured at about 8 KiB.
inline constexpr size_t kInPlaceMax = size_t{8} << 10;

// protobuf's own limit is INT_MAX; half of it leaves room for metadata and for arithmetic in 32 bits.
inline constexpr size_t kMaxMessageSize = size_t{1} << 30;

// Request or reply metadata with status text and details, as serialised. gRPC's default is 8 KiB, its hard limit 16
// KiB; its test of "63K of 'X' in one header" must pass.
inline constexpr size_t kMaxEnvelopeSize = size_t{128} << 10;

// Text of a status made by a handler, as gRPC implementations keep it within one header.
inline constexpr size_t kMaxStatusTextSize = size_t{8} << 10;

// What is told of a message that does not parse: a text of so many bytes, and which required fields are missing only if
// the message is no larger than this (the list of them may be a hundred times as large).
inline constexpr size_t kMaxExplanation = 1000;
inline constexpr size_t kMaxSizeToExplain = size_t{16} << 10;

// Payloads of one status. absl::Status searches them one by one, so an unbounded number from a peer would cost its
// square.
inline constexpr size_t kMaxStatusPayloads = 64;

// "package.Service/Method", where a request carries it. Names of people are shorter; a server keeps one for each call.
inline constexpr size_t kMaxMethodNameSize = size_t{1} << 10;

// --- message queues ---

// Messages of a queue, and the largest size of one: what Linux allows without privilege (fs.mqueue.msg_max and
// fs.mqueue.msgsize_max, as they are unless somebody changes them).
inline constexpr size_t kMaxQueueMessages = 10;
inline constexpr size_t kMaxQueueMessageSize = size_t{8} << 10;

// Less would be a frame's header and hardly anything else.
inline constexpr size_t kMinQueueMessageSize = 256;

// --- calls ---

// The low bits of a call id are the slot in the caller's table.
inline constexpr size_t kMaxCallsInFlight = size_t{1} << 16;

// The other direction. What a channel that serves grants its server, and how many of those handlers run at once (the
// others wait for calls of their own, or for a place); and what a server begins on one connection, and keeps of it that
// waits for room, whatever the client grants.
inline constexpr size_t kServedCallsGranted = 64;
inline constexpr size_t kServedHandlers = 16;
inline constexpr size_t kMaxBackCalls = 1024;
inline constexpr size_t kMaxBackBytes = size_t{8} << 20;

// Handlers at once: each may need a thread. Linux's default limit of threads is some ten thousand.
inline constexpr size_t kMaxHandlerThreads = 4096;

// Connections of one server: each needs three descriptors, of which Linux allows at most a million to a process.
inline constexpr size_t kMaxConnections = 300'000;

// A lane that had no turn for so long has one before higher ones. Long against a handler (nothing is reordered in
// normal operation), short against a person (the lowest lane advances several times a second).
inline constexpr int64_t kAgeingNs = 50'000'000;

// Above this many bytes of replies that a client does not take, no further request of that client is read, and none of
// those read before is run.
inline constexpr size_t kHeldBackPause = size_t{1} << 20;

// What a call costs a server beside its bytes, about: the object, its place in lists, what the allocator adds. Counted
// with them, so that many small calls are many bytes, too.
inline constexpr size_t kCallCost = size_t{1} << 10;

// The same of a reply that is kept until its client has room for it.
inline constexpr size_t kKeptMessageCost = 256;

// A reply up to this size is kept even if its user has used up all memory: a refusal is not larger.
inline constexpr size_t kAlwaysKept = size_t{1} << 10;

// All calls, and all bytes, of a server: they are counted in one word of 64 bits, with room for what is just added.
inline constexpr size_t kMaxTotalCalls = size_t{1} << 20;
inline constexpr size_t kMaxTotalBytes = size_t{1} << 40;

// The bytes unless the program says otherwise: a fraction of the memory of any machine that serves many, or some of the
// largest messages for each of several users.
inline constexpr size_t kDefaultTotalBytes = size_t{1} << 30;
inline constexpr size_t kDefaultTotalMessages = 16;

// Large blocks that a process keeps for the next message, in all, and how long without need: two of 16 MiB, the largest
// whose page faults still cost more than all else.
inline constexpr size_t kMaxWarmBytes = size_t{32} << 20;
inline constexpr int64_t kWarmNs = 1'000'000'000;

// What a connection needs of a server: its control socket, the pidfd of its client, and at most two of its transport.
inline constexpr size_t kDescriptorsPerConnection = 4;

// What connections leave to the program, where it says nothing else: a part of the limit, at least so many.
inline constexpr size_t kProgramsPartOfDescriptors = 8;
inline constexpr size_t kMinProgramsDescriptors = 32;

// Of each of a user's traces: what has ended and was not fetched yet, some hundreds of calls. And how many of them,
// each of which every call that ends is shown to.
inline constexpr size_t kMaxTraceBytes = size_t{128} << 10;
inline constexpr size_t kMaxTracersOfAUser = 8;

// Frames that are read of a client which has gone, for its one-way calls: what the largest ring holds of the smallest.
inline constexpr size_t kMaxFramesLeft = size_t{1} << 18;

// How long the end of a channel waits for one-way calls that are still here.
inline constexpr int64_t kLeaveNs = 1'000'000'000;

// --- descriptors in messages ---

// With one message. What more is needed are several messages, or the ends of something that carries more.
inline constexpr size_t kMaxMessageDescriptors = 16;

// Of one connection: that came with messages and are neither taken by the program nor closed yet; and those of them
// that its user may have beyond his allowance, until they are closed, before the connection is given up (two messages).
inline constexpr size_t kMaxHeldDescriptors = 1024;
inline constexpr size_t kMaxDescriptorsOverAllowance = 2 * kMaxMessageDescriptors;

// --- attachments ---

// With one message, however they travel.
inline constexpr size_t kMaxMessageAttachments = 16;

// One from this size on is passed as memory, if the peer takes it: below a copy is cheaper than making, sealing and
// mapping. (`tests/bench` has the figures.)
inline constexpr size_t kPassedFrom = size_t{256} << 10;

// And the least that is taken so: each that is kept is a mapping, of which Linux gives a process 65530
// (vm.max_map_count), so they must not be cheap for who sends them. 1 GiB of the smallest are 16384.
inline constexpr size_t kMinPassed = size_t{64} << 10;

// What one Buffer has, and what a side can grant for those of one message: with a message beside it this still is a
// credit (u32).
inline constexpr size_t kMaxAttachmentBytes = size_t{2} << 30;

// Blocks of a peer's pool that stay mapped, of one connection. Each is a mapping.
inline constexpr size_t kMaxLentBlocks = 32;

// --- letters ---

// Letters that are kept for frames that have not come yet. They overtake each other only as frames do: a message queue
// holds ten of these (kMaxQueueMessages), the others keep all in order.
inline constexpr size_t kMaxLettersKept = 16;

// What a side socket holds of its own side's letters, in bytes of the kernel's account: some ten of them. Descriptors
// that nobody has taken yet count for their user (RLIMIT_NOFILE), and the next ones are refused when those are too
// many.
inline constexpr int kSideSocketBuffer = 8 << 10;

// --- rendezvous ---

// sun_path holds 108 bytes with its NUL (unix(7)); a name must fit behind every directory of the search path.
inline constexpr size_t kMaxNameSize = 64;

// Supplementary groups of a client that are kept with its connection, 16 KiB of them. Nobody has as many but on purpose
// (Linux allows 65536), and whoever may have what he likes could make the server hold a quarter of a MiB each time.
inline constexpr size_t kMaxPeerGroups = 4096;

// Connections that have not said hello yet. dbus-broker and sshd keep the same order of magnitude.
inline constexpr size_t kMaxHalfOpen = 64;

// When all of those places are taken, one that is younger is not given to somebody else: long enough for a client that
// waits for a CPU on a busy machine to say hello, short enough for those who wait behind silent ones.
inline constexpr int64_t kHelloGraceNs = 50'000'000;

inline constexpr int kListenBacklog = 128;

// How long a client, or a server that wants the name, waits for an answer when the process that listens is dead: some
// heir of its socket may live. One that serves answers within a few milliseconds; one that does not would else cost
// every client its whole patience.
inline constexpr int64_t kHeirAnswerNs = 100'000'000;

// Dead names that a starting server looks for in its directory: a probe is a connect(2), 256 of them take about a
// millisecond.
inline constexpr int kMaxNamesProbed = 256;

// How long a starting server waits for another one that is binding in the same directory. Binding takes microseconds;
// only a process that was stopped in the middle of it makes anybody wait.
inline constexpr int64_t kBindLockTimeoutNs = 5'000'000'000;

// How long a starting server waits for the one whose socket it takes over: as that does for a client (the usual time of
// a handshake).
inline constexpr int64_t kTakeOverNs = 5'000'000'000;

// And its pause before it asks again, while another successor is at it.
inline constexpr int64_t kTakeOverPauseNs = 10'000'000;

// Servers behind one name that a channel is connected to: each connection costs it two rings and three descriptors.
// With more of them it knows some, and other channels others.
inline constexpr size_t kMaxServersOfAName = 16;

// How often a channel that is used looks which servers there are behind its name; to list a directory takes some 10 us.
inline constexpr int64_t kLookAroundNs = 100'000'000;

// How long one of several servers may take to let a channel in before the next one is asked.
inline constexpr int64_t kNextServerNs = 1'000'000'000;

// --- children ---

// What a child has for each step of its end: by itself, after SIGTERM, after SIGKILL. Enough to write something down,
// and short for who waits for the end of a channel.
inline constexpr int64_t kChildPatienceNs = 2'000'000'000;

// Between a child's hang-up and the kernel's word how it has ended: some microseconds, where it ends at all. Calls wait
// for it.
inline constexpr int64_t kFateNs = 200'000'000;

// A child that has run for so long has not failed at its start: the next one is started without a pause.
inline constexpr int64_t kStableChildNs = 1'000'000'000;

// A child whose client has gone, and whose handlers do not return, ends so long after its grace, unless it says
// otherwise (ServerOptions::abort_after_grace): nobody is left who would end it.
inline constexpr int64_t kOrphanPatienceNs = 5'000'000'000;

// --- control socket ---

// Control messages kept for a peer that does not read them; the oldest is dropped. As many as it may have calls in
// flight by default: a cancel for each.
inline constexpr size_t kMaxQueuedControlMessages = 1024;

// Messages taken from one control socket before the others have their turn.
inline constexpr int kControlBatch = 32;

// Messages still taken from the socket of a process that has died: more than a socket's buffer holds of its own, and an
// end for what a child that inherited the socket may send.
inline constexpr int kMaxLastControlMessages = 4096;

// --- closing what a peer may have made ---

// Threads that close it: each may be stuck for as long as its peer likes. One would do but for hostile peers.
inline constexpr size_t kMaxClosers = 8;

// Of these, the ones that close what came from one and the same user: he may make all of his stuck.
inline constexpr ptrdiff_t kMaxClosersOnBehalf = 2;

// Descriptors that wait for one of them. The kernel passes 253 with a message (SCM_MAX_FD).
inline constexpr size_t kMaxUnclosed = 1024;

// --- time ---

// The longest sleep while a call is in flight: the belt to the braces of the semaphores.
inline constexpr int64_t kBusyWaitSliceNs = 100'000'000;

// The shortest pause between two pings, and the shortest wait for an answer. A ping costs the monitor of each side some
// microseconds; below this, a lost time slice would end connections.
inline constexpr int64_t kMinKeepaliveNs = 10'000'000;

// The longest sleep of an idle thread.
inline constexpr int64_t kIdleWaitSliceNs = 60'000'000'000;

// When a waiting client rings a server that may be stuck in a handler (the client as watchdog): several times the usual
// latency of the lane, at least the first, at most the second. The second is how long a call of a lane that is used to
// slow handlers may wait for one of them. It is longer than a round of many clients at full load takes: there every
// caller would wake to ring for nothing, which with 1 ms cost half of all calls at 64 threads on one channel.
inline constexpr int64_t kWatchdogMinNs = 200'000;
inline constexpr int64_t kWatchdogMaxNs = 10'000'000;

// A leader that has been in one handler for so long gives its role to a standby thread that was rung.
inline constexpr int64_t kStuckHandlerNs = 50'000;

// A method whose handler has taken so long has it run on a thread of its own next time (BlockingHabit): a thread that
// hands over costs some 10 us. Longer than most handlers that compute, shorter than a disk or a peer that is waited
// for.
inline constexpr int64_t kBlockingHandlerNs = 1'000'000;

// Waiting for a server to appear: first and longest pause (each is drawn anew from about that, see Backoff). A look
// costs some 10 us of CPU, so a thousand clients that wait for hours cost a twentieth of one.
inline constexpr int64_t kReconnectMinNs = 1'000'000;
inline constexpr int64_t kReconnectMaxNs = 200'000'000;

// Trying again where a server has hung up because too many come at once. 500 clients that tried every millisecond left
// it no CPU to serve them with, and took 12 s; with pauses of this size all are served in half a second.
inline constexpr int64_t kBusyPauseMinNs = 20'000'000;
inline constexpr int64_t kBusyPauseMaxNs = 100'000'000;

// How long the server waits before it says again what keeps it from ending: as long as it has lasted, at least the
// first, at most the second.
inline constexpr int64_t kStuckEndMinNs = 1'000'000'000;
inline constexpr int64_t kStuckEndMaxNs = 60'000'000'000;

// --- the user's code ---

// A stop callback that has run for so long no longer holds up the others: longer than any that only sets a flag and
// wakes somebody, on a busy machine too; short against what a caller notices.
inline constexpr int64_t kStuckUserCodeNs = 10'000'000;

// --- log ---

// Lines of one kind that one user may cause in a second.
inline constexpr uint32_t kMaxLogLinesPerSecond = 10;

// Kinds of lines, times users, whose lines are counted at a time; beyond them all others together count as one.
inline constexpr size_t kMaxLogTopics = 64;

// Lines that wait for a sink that is slow, or stuck; beyond them lines are left out.
inline constexpr size_t kMaxQueuedLogLines = 128;

// How long the end of a server or channel waits until its last lines have gone.
inline constexpr int64_t kLogFlushNs = 1'000'000'000;

// A longer line is cut: what a pipe takes in one piece (PIPE_BUF), so that lines of several processes do not mix.
inline constexpr size_t kMaxLogLineSize = size_t{4} << 10;

}  // namespace nearcall::base
