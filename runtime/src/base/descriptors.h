// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/fd.h"
#include "base/limits.h"
#include "base/quota.h"
#include "nearcall/unique_fd.h"

namespace nearcall::base {

// Why descriptors are refused, for whose call that is.
extern const char kOverDescriptorBudget[];

// How many descriptors one connection holds for messages, and who pays for them. Shared by all of them: what waits to
// be closed counts still. Thread-safe.
class DescriptorBudget {
 public:
  // `account`: of the peer's user; may be null.
  explicit DescriptorBudget(std::shared_ptr<Account> account) : account_(std::move(account)) {}
  DescriptorBudget(const DescriptorBudget&) = delete;
  DescriptorBudget& operator=(const DescriptorBudget&) = delete;

  // kOver: they are taken all the same, as they are here, and are to be closed. kBroken: not taken; there are too many
  // of this connection.
  enum class Taken { kYes, kOver, kBroken };
  Taken TakeReceived(size_t count);
  // Of this side's own, to be sent. False: there are not so many left.
  [[nodiscard]] bool TryTake(size_t count);
  // `over`: they were taken so.
  void Give(size_t count, bool over = false);

  const Account* account() const { return account_.get(); }
  size_t held() const { return held_.load(std::memory_order_relaxed); }

 private:
  const std::shared_ptr<Account> account_;
  std::atomic<size_t> held_{0};
  std::atomic<size_t> over_{0};  // of these
};

// The descriptors of one message, owned: at most kMaxMessageDescriptors. Nothing but fcntl(2) F_DUPFD is ever done with
// one, and it is closed on a thread that may wait for that. Empty it is one word. Not synchronised.
class Descriptors {
 public:
  Descriptors() = default;
  Descriptors(Descriptors&&) noexcept = default;
  Descriptors& operator=(Descriptors&& other) noexcept {
    if (this != &other) {
      Clear();
      set_ = std::move(other.set_);
    }
    return *this;
  }
  ~Descriptors() { Clear(); }

  // Takes `fds` over, for which `budget` (may be null) has been asked; `over`: and has none.
  static Descriptors Own(std::span<Fd> fds, std::shared_ptr<DescriptorBudget> budget, bool over = false);
  // Instead of those that a message was to bring and that could not be taken: `why`, a constant, for its caller.
  static Descriptors Refused(const char* why);
  // Others of the same files. RESOURCE_EXHAUSTED: `budget` (may be null) or the process has no more.
  static absl::StatusOr<Descriptors> Duplicate(std::span<const int> fds, std::shared_ptr<DescriptorBudget> budget);

  bool empty() const { return set_ == nullptr; }
  std::span<const int> fds() const;
  // RESOURCE_EXHAUSTED if they have been refused.
  absl::Status refusal() const { return set_ == nullptr ? absl::OkStatus() : Refusal(); }

  // The last `count` of them, which are the result's from now on; none if there are fewer.
  Descriptors TakeLast(size_t count);
  // They are the program's from now on.
  std::vector<UniqueFd> Release();
  void Clear() {
    if (set_ != nullptr) Discard();
  }

 private:
  class Set;
  struct Destroy {
    void operator()(Set* set) const;
  };
  using Ptr = std::unique_ptr<Set, Destroy>;

  absl::Status Refusal() const;
  void Discard();

  Ptr set_;
};

// For a message that is to be sent: it may have to be kept. Null for none.
inline std::shared_ptr<const Descriptors> Shared(Descriptors descriptors) {
  return descriptors.empty() ? nullptr : std::make_shared<const Descriptors>(std::move(descriptors));
}

// As CallOptions and the writers of streams are given them. INVALID_ARGUMENT: too many, or one that is not open; the
// text goes on after `whose`.
absl::Status CheckDescriptors(std::span<const int> fds, const char* whose);

}  // namespace nearcall::base
