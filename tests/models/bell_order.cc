// SPDX-License-Identifier: Apache-2.0

// Who writes a frame and who falls asleep for one: one of them sees the other.
//
// The code, with its memory orders: RingWriter::Commit, Publish, and ShmTransport::Notify (thread 0); ShmTransport::Arm
// and RingReader::HasFrame, Peek, CopyOut (thread 1). For room it is the same with the head: RingReader::Release,
// ShmTransport::Release, RingWriter::HasRoom, Reserve.
//
// It must hold: a reader that sleeps is rung; one that sees the tail sees the frame.
//
// Relacy lets a load see the last store or the one before; so that Commit's store does not hide what is older, there is
// a configuration without it.
//
// Run: -DCOMMIT=1
//
// Run: -DCOMMIT=0
#include "search.h"

namespace {

#ifdef MUTANT_FRAME_IS_NOT_RELEASED
constexpr rl::memory_order kCommit = rl::mo_relaxed;
#else
constexpr rl::memory_order kCommit = rl::mo_release;
#endif
#ifdef MUTANT_TAIL_IS_RELEASED_ONLY
constexpr rl::memory_order kPublish = rl::mo_release;
#else
constexpr rl::memory_order kPublish = rl::mo_seq_cst;
#endif
#ifdef MUTANT_INTEREST_IS_ACQUIRED_ONLY
constexpr rl::memory_order kLookAtInterest = rl::mo_acquire;
#else
constexpr rl::memory_order kLookAtInterest = rl::mo_seq_cst;
#endif
#ifdef MUTANT_INTEREST_IS_RELEASED_ONLY
constexpr rl::memory_order kArm = rl::mo_release;
#else
constexpr rl::memory_order kArm = rl::mo_seq_cst;
#endif
#ifdef MUTANT_TAIL_IS_ACQUIRED_ONLY
constexpr rl::memory_order kLookAgain = rl::mo_acquire;
#else
constexpr rl::memory_order kLookAgain = rl::mo_seq_cst;
#endif
#ifdef MUTANT_TAIL_IS_NOT_ACQUIRED
constexpr rl::memory_order kPeek = rl::mo_relaxed;
#else
constexpr rl::memory_order kPeek = rl::mo_acquire;
#endif

struct BellOrder : rl::test_suite<BellOrder, 2> {
  rl::atomic<int> tail;
  rl::atomic<int> interest;
  rl::var<int> frame;
  bool rung = false;
  bool sleeps = false;

  void before() {
    tail.store(0, rl::mo_relaxed, $);
    interest.store(0, rl::mo_relaxed, $);
  }

  void thread(unsigned index) {
    if (index == 0) {
      Write();
    } else {
      Read();
    }
  }

  void Write() {
    frame($) = 1;
    if (COMMIT) tail.store(1, kCommit, $);
    tail.store(1, kPublish, $);
    rung = interest.load(kLookAtInterest, $) != 0;
  }

  void Read() {
    if (tail.load(kPeek, $) == 0) {
      interest.store(1, kArm, $);
      sleeps = tail.load(kLookAgain, $) == 0;
    }
    if (!sleeps) RL_ASSERT(static_cast<int>(frame($)) == 1);
  }

  void after() { RL_ASSERT(rung || !sleeps); }
};

}  // namespace

int main() {
  return nearcall::models::Search<BellOrder>();
}
