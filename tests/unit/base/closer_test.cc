// SPDX-License-Identifier: Apache-2.0
#include "base/closer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "base/limits.h"

namespace nearcall::base {
namespace {

// Takes as long to destroy as the test wants.
class Slow final : public Unclosed {
 public:
  struct Shared {
    std::shared_future<void> may_end;
    std::atomic<int> begun{0};
    std::atomic<int> ended{0};
  };
  Slow(const void* on_behalf_of, Shared& shared) : Unclosed(on_behalf_of), shared_(shared) {}
  ~Slow() override {
    ++shared_.begun;
    shared_.may_end.wait();
    ++shared_.ended;
  }

 private:
  Shared& shared_;
};

bool Soon(const std::function<bool()>& condition) {
  for (int i = 0; i < 20'000 && !condition(); ++i) ::poll(nullptr, 0, 1);
  return condition();
}

TEST(CloserTest, ClosesOnAnotherThread) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const Fd reader(ends[0]);
  CloseElsewhere(Fd(ends[1]));
  char byte;
  EXPECT_EQ(::read(reader.get(), &byte, 1), 0) << "nobody writes any more";
}

TEST(CloserTest, WhoIsStuckKeepsNobodyElseWaiting) {
  const char hostile = 0;
  const char honest = 0;
  std::promise<void> release;
  Slow::Shared stuck{.may_end = release.get_future().share()};
  std::promise<void> at_once;
  at_once.set_value();
  Slow::Shared quick{.may_end = at_once.get_future().share()};
  constexpr int kMany = 100;
  for (int i = 0; i < kMany; ++i) DestroyElsewhere(std::make_unique<Slow>(&hostile, stuck));
  for (int i = 0; i < kMany; ++i) DestroyElsewhere(std::make_unique<Slow>(&honest, quick));
  EXPECT_TRUE(Soon([&] { return quick.ended == kMany; }));
  EXPECT_EQ(stuck.begun, kMaxClosersOnBehalf);
  EXPECT_EQ(stuck.ended, 0);
  release.set_value();
  EXPECT_TRUE(Soon([&] { return stuck.ended == kMany; })) << "however many wait, all have their turn";
}

TEST(CloserTest, OfNobodysBehalfAllThreadsMayBeStuck) {
  std::promise<void> release;
  Slow::Shared stuck{.may_end = release.get_future().share()};
  for (size_t i = 0; i <= kMaxClosers; ++i) DestroyElsewhere(std::make_unique<Slow>(nullptr, stuck));
  EXPECT_TRUE(Soon([&] { return stuck.begun == static_cast<int>(kMaxClosers); }));
  release.set_value();
  EXPECT_TRUE(Soon([&] { return stuck.ended == static_cast<int>(kMaxClosers) + 1; }));
}

}  // namespace
}  // namespace nearcall::base
