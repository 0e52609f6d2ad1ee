// How often the ring's ends read a word that the peer may change at any time: once for each use, so that what was
// checked is what is used. Counted as the processor reads, so that it does not matter whether a second read stands in
// the source or is the compiler's.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "base/limits.h"
#include "base/shared_memory.h"
#include "support/sanitizers.h"
#include "transport/shm/record.h"
#include "transport/shm/ring_reader.h"
#include "transport/shm/ring_writer.h"

namespace nearcall::transport::shm {
namespace {

constexpr size_t kRing = base::kMinRingSize;

// The peer's control page and ring. Each access faults, is counted, is let through for one instruction.
class CountedRegion {
 public:
  CountedRegion() : size_(RingOffset() + kRing) {
    void* const memory = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    begin_ = static_cast<std::byte*>(memory);
  }
  ~CountedRegion() { ::munmap(begin_, size_); }
  CountedRegion(const CountedRegion&) = delete;

  ControlPage& page() const { return *reinterpret_cast<ControlPage*>(begin_); }
  std::span<std::byte> ring() const { return {begin_ + RingOffset(), kRing}; }
  uint64_t& record() const { return *reinterpret_cast<uint64_t*>(ring().data()); }

  // Counts from zero what `body` reads.
  template <typename Body>
  void Watch(const Body& body) {
    reads_.fill(0);
    watched_ = this;
    struct sigaction on_fault {};
    on_fault.sa_flags = SA_SIGINFO;
    on_fault.sa_sigaction = &OnFault;
    struct sigaction on_step = on_fault;
    on_step.sa_sigaction = &OnStep;
    struct sigaction before[2];
    ::sigaction(SIGSEGV, &on_fault, &before[0]);
    ::sigaction(SIGTRAP, &on_step, &before[1]);
    ::mprotect(begin_, size_, PROT_NONE);
    body();
    ::mprotect(begin_, size_, PROT_READ | PROT_WRITE);
    ::sigaction(SIGSEGV, &before[0], nullptr);
    ::sigaction(SIGTRAP, &before[1], nullptr);
  }

  int Reads(const void* word) const { return reads_[static_cast<size_t>(IndexOf(word))]; }

 private:
  ptrdiff_t IndexOf(const void* word) const { return (static_cast<const std::byte*>(word) - begin_) / 8; }

  static void OnFault(int, siginfo_t* info, void* context) {
    const ptrdiff_t index = watched_->IndexOf(info->si_addr);
    if (index < 0 || index >= static_cast<ptrdiff_t>(watched_->reads_.size())) {
      ::signal(SIGSEGV, SIG_DFL);  // not ours: it faults again
      return;
    }
    ++watched_->reads_[static_cast<size_t>(index)];
    ::mprotect(watched_->begin_, watched_->size_, PROT_READ | PROT_WRITE);
    SetSingleStep(context, true);
  }

  static void OnStep(int, siginfo_t*, void* context) {
    ::mprotect(watched_->begin_, watched_->size_, PROT_NONE);
    SetSingleStep(context, false);
  }

  static void SetSingleStep([[maybe_unused]] void* context, [[maybe_unused]] bool on) {
#if defined(__x86_64__)
    constexpr greg_t kTrapFlag = 0x100;
    greg_t& flags = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL];
    flags = on ? flags | kTrapFlag : flags & ~kTrapFlag;
#endif
  }

  static inline CountedRegion* watched_ = nullptr;

  const size_t size_;
  std::byte* begin_;
  std::array<int, 1024> reads_{};
};

class ShmFetchTest : public ::testing::Test {
 protected:
  void SetUp() override {
#if !defined(__x86_64__)
    GTEST_SKIP() << "NOT TESTED: single steps of this processor";
#endif
    if (testing::kSanitizers) GTEST_SKIP() << "NOT TESTED: a sanitizer reads on its own";
    ASSERT_LE((RingOffset() + kRing) / 8, 1024u);
  }

  CountedRegion peer_;
  ControlPage own_page_{};
  Fault fault_{"shm"};
};

TEST_F(ShmFetchTest, TheReaderReadsTailAndPrefixOnce) {
  RingReader reader(own_page_, peer_.page(), peer_.ring(), fault_);
  peer_.page().tail = 64;
  peer_.record() = RecordPrefix::ToWord(56, RecordKind::kFrame);
  size_t size = 0;
  peer_.Watch([&] {
    reader.Peek(size);
    reader.Pop();
    reader.Release();
  });
  EXPECT_EQ(size, 56u);
  EXPECT_EQ(peer_.Reads(&peer_.page().tail), 1);
  EXPECT_EQ(peer_.Reads(&peer_.record()), 1);
  EXPECT_EQ(peer_.Reads(&peer_.page().head), 0);
}

TEST_F(ShmFetchTest, TheWriterReadsTheHeadOnce) {
  std::vector<uint64_t> ring(kRing / 8);
  RingWriter writer(own_page_, peer_.page(), std::as_writable_bytes(std::span(ring)), fault_);
  for (int i = 0; i < 4; ++i) {
    ASSERT_FALSE(writer.Reserve(MaxFrameSize(kRing)).empty());
    writer.Commit();
  }
  peer_.page().head = kRing / 4;
  bool reserved = false;
  peer_.Watch([&] { reserved = !writer.Reserve(1).empty(); });
  EXPECT_TRUE(reserved);
  EXPECT_EQ(peer_.Reads(&peer_.page().head), 1);
  peer_.Watch([&] { writer.HasRoom(1); });
  EXPECT_EQ(peer_.Reads(&peer_.page().head), 1);
}

}  // namespace
}  // namespace nearcall::transport::shm
