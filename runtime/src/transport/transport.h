// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/clock.h"

namespace nearcall::transport {

// One end of a connection's data plane: moves whole frames between two processes, in order, and knows nothing of what
// is in them. Sessions decide what to send and when to sleep; a transport only carries and wakes.
//
// The contract, which every transport passes as one suite (tests/conformance):
//
//  1. A frame that was committed arrives once, whole, unchanged, and after all frames committed before it; a transport
//     that honours lanes (mq) keeps this order within a lane only.
//  2. Any size from 1 to max_frame_size() fits. Nothing is visible to the reader before Commit().
//  3. Reserve() never blocks: without room it returns an empty span, and changes nothing. Room comes back when the
//     reader pops. Commit() never fails; it may keep frames (two of the largest at most) for Flush(), which hands over
//     what the kernel takes. While something is left over after that there is no room.
//  4. The reader copies out of the transport, each byte at most once, before anything looks at it. What the peer does
//     after that changes nothing.
//  5. No call blocks except Wait(). No call makes a system call while the peer is awake and there is data and room
//     (transports in shared memory).
//  6. Sleep: Arm(), and if it returns false, Wait() or the end of wait in epoll; then Disarm(). Between Arm() and
//  Disarm()
//     every frame (or room) that the peer makes wakes this end; a wake-up may come without reason and means "look".
//  7. The peer's memory, values and descriptors are never trusted: what cannot be is kBroken with a text in error(),
//  for
//     good. It is never a crash, never an endless loop, never a read or write outside the transport's memory.
//  8. The death of the peer is not seen here (the control channel tells it: OnPeerGone()); every call stays harmless
//     after it. Where the kernel wakes who sleeps, whoever looks finds nothing.
//  9. In a fork()ed child only the destructor may be called.
// 10. What goes beside frames, before them, is not left behind: of the frames that were committed later at most
//     base::kMaxLettersKept overtake one. Else the row in the table says so (kNoDescriptors): no descriptors go, and
//     memory goes as bytes.
//
// Threads: the writing calls by one thread at a time, the reading calls and sleeping calls by one thread at a time,
// both at once; Interrupt(), Ring() and OnPeerGone() by any thread at any time.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual absl::string_view name() const = 0;
  virtual size_t max_frame_size() const = 0;

  // --- writing ---

  // Room for one frame of exactly `size` bytes, to be written in any order and then committed. Another Reserve()
  // without a Commit() drops the first. Empty: no room.
  virtual std::span<std::byte> Reserve(size_t size, int lane) = 0;

  // Copies into a part of what Reserve() returned, in the way that is fastest for a payload of that size.
  virtual void Fill(std::span<std::byte> to, std::span<const std::byte> from) = 0;

  virtual void Commit() = 0;

  // Hands over what Commit() kept: after one or several of them. False: something is left over.
  virtual bool Flush() { return true; }

  // After one or several Commit(): wakes the peer if it has said that it sleeps. True if it had to be woken.
  virtual bool Notify() = 0;

  // Wakes the peer's reader even though it has not said that it sleeps (a client whose request stays unread). False if
  // this transport has no means to.
  virtual bool Ring() = 0;

  // Whether the peer has taken all that was committed. True where that cannot be known.
  virtual bool PeerHasReadAll() const = 0;

  // --- reading ---

  enum class ReadState : uint8_t { kFrame, kEmpty, kBroken };

  // Looks for the next frame; on kFrame `size` is its size, 1 to max_frame_size(). Repeatable.
  virtual ReadState Peek(size_t& size) = 0;

  // Copies bytes of the frame that Peek() found. Each byte at most once; offset + to.size() <= its size.
  virtual void CopyOut(size_t offset, std::span<std::byte> to) = 0;

  // Gives up the frame that Peek() found. Its room goes back to the writer, at the latest with the next Release().
  virtual void Pop() = 0;

  // After one or several Pop(): gives the room back, and wakes the peer's writer if it waits for room.
  virtual void Release() = 0;

  // Why Peek() said kBroken. OK before.
  virtual absl::Status error() const = 0;

  // --- sleeping ---

  enum Interest : uint32_t { kFrames = 1, kRoom = 2 };

  // Asks to be woken for what `interest` (a set) names. `room` is the size of the frame that kRoom waits for. True: it
  // is there already, and this end is not armed.
  virtual bool Arm(uint32_t interest, size_t room) = 0;

  // Ends Arm(), and tells the peer the CPU on which this end is awake.
  virtual void Disarm() = 0;

  // Sleeps until woken by the peer or Interrupt(), or `until`. Only where wait_fds() has none.
  virtual void Wait(base::SteadyNs until) = 0;

  // Makes a Wait(), the present or the next one, return. Any thread. An end with wait_fds() has no Wait(), and this
  // does not make them readable: whoever waits in epoll has his own way to be woken, and what stands in wait_fds() may
  // belong to the peer too, who could block a write to it.
  virtual void Interrupt() = 0;

  // For an end that waits in epoll together with others; constant. -1: none; all -1: use Wait().
  struct WaitFds {
    // Becomes readable when the peer rings. Watched always, edge-triggered; ClearBell() after it was reported.
    int bell = -1;
    // The kernel's own objects: readable when the peer has sent, writable when there is room, asked or not. Watched
    // between Arm() and Disarm() only: a busy end need not hear of each frame.
    int readable = -1;
    int writable = -1;
  };
  virtual WaitFds wait_fds() const { return {}; }
  // The same for an end that has Wait(), and is waited for in epoll too, by turns. All -1: it cannot be.
  virtual WaitFds event_fds() const { return wait_fds(); }
  virtual void ClearBell() {}

  // Whether looking again and again with Peek() costs no system call.
  virtual bool can_spin() const = 0;

  // The CPU that the peer announced when it last woke; -1 while it sleeps, is being woken, or never said.
  virtual int peer_cpu() const { return -1; }

  // The peer has ended: it takes nothing any more, and what is kept for it is not needed. What it had sent is still
  // read.
  virtual void OnPeerGone() {}
};

}  // namespace nearcall::transport
