// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace nearcall::base {

// How much is taken of something: calls and the bytes that they hold, or just a number of things. One word, so that
// one atomic operation counts both.
struct Amount {
  static constexpr int kByteBits = 42;

  static constexpr Amount Of(uint64_t count, uint64_t bytes = 0) { return {count << kByteBits | bytes}; }
  constexpr uint64_t count() const { return word >> kByteBits; }
  constexpr uint64_t bytes() const { return word & ((uint64_t{1} << kByteBits) - 1); }

  constexpr bool IsWithin(Amount limit) const { return count() <= limit.count() && bytes() <= limit.bytes(); }
  // The part of it that goes beyond `share`.
  constexpr Amount Beyond(Amount share) const {
    return Of(count() - std::min(count(), share.count()), bytes() - std::min(bytes(), share.bytes()));
  }

  uint64_t word = 0;
};

// What belongs to whoever comes first, of all users. Thread-safe.
class Pool {
 public:
  explicit Pool(Amount size) : size_(size) {}

  [[nodiscard]] bool TryTake(Amount amount);
  void TakeAnyway(Amount amount) { taken_.fetch_add(amount.word, std::memory_order_seq_cst); }
  void Give(Amount amount) { taken_.fetch_sub(amount.word, std::memory_order_seq_cst); }

  Amount size() const { return size_; }
  Amount taken() const { return {taken_.load(std::memory_order_relaxed)}; }

 private:
  const Amount size_;
  std::atomic<uint64_t> taken_{0};
};

// What one user takes of one kind of thing: its own share first, and then of the pool. While that is not needed, taking
// and giving are one atomic operation each. Thread-safe.
class Allowance {
 public:
  Allowance(Amount share, Pool& pool) : share_(share), pool_(pool) {}
  Allowance(const Allowance&) = delete;
  Allowance& operator=(const Allowance&) = delete;

  [[nodiscard]] bool TryTake(Amount amount);
  // More than there is, if need be: for what cannot be refused, and is little.
  void TakeAnyway(Amount amount);
  void Give(Amount amount);

  // Not a byte is left.
  bool exhausted() const;
  Amount taken() const { return {taken_.load(std::memory_order_relaxed)}; }
  // The most that it could ever have.
  Amount limit() const { return {share_.word + pool_.size().word}; }

 private:
  const Amount share_;
  Pool& pool_;
  std::atomic<uint64_t> taken_{0};
};

// What has been taken of an allowance, until it is destroyed. The allowance must outlive it.
class Charge {
 public:
  Charge() = default;
  Charge(Charge&& other) noexcept
      : allowance_(std::exchange(other.allowance_, nullptr)), amount_(std::exchange(other.amount_, {})) {}
  Charge& operator=(Charge&& other) noexcept {
    Release();
    allowance_ = std::exchange(other.allowance_, nullptr);
    amount_ = std::exchange(other.amount_, {});
    return *this;
  }
  ~Charge() { Release(); }

  // False: there is not so much left. Nobody pays for what is taken of no allowance.
  [[nodiscard]] bool TryTake(Allowance* allowance, Amount amount) {
    Release();
    if (allowance == nullptr) return true;
    if (!allowance->TryTake(amount)) return false;
    allowance_ = allowance;
    amount_ = amount;
    return true;
  }
  void TakeAnyway(Allowance* allowance, Amount amount) {
    Release();
    if (allowance == nullptr) return;
    allowance->TakeAnyway(amount);
    allowance_ = allowance;
    amount_ = amount;
  }

  void Release() {
    if (allowance_ != nullptr) std::exchange(allowance_, nullptr)->Give(amount_);
  }

 private:
  Allowance* allowance_ = nullptr;
  Amount amount_;
};

// What a server holds for one user, whichever connection it is for.
struct Account {
  // For people: "user 1000".
  std::string name;
  Allowance memory;  // calls that have not been answered, and all bytes: requests, parts of requests, replies kept
  Allowance places;  // handlers that run
  Allowance descriptors;

  // RESOURCE_EXHAUSTED: what it has, what it may have, and who can change that.
  absl::Status MemoryRefusal(size_t bytes) const;
  absl::Status DescriptorRefusal() const;
};

// Bytes of something that is kept, which a user pays for until this is destroyed.
class PaidBytes {
 public:
  PaidBytes() = default;
  PaidBytes(PaidBytes&&) noexcept = default;
  PaidBytes& operator=(PaidBytes&& other) noexcept {
    charge_ = std::move(other.charge_);  // first: what it was taken of may go with the account
    account_ = std::move(other.account_);
    return *this;
  }

  // `account`: null: nobody pays. RESOURCE_EXHAUSTED: the user has used up his part.
  static absl::StatusOr<PaidBytes> Take(std::shared_ptr<Account> account, size_t size);

 private:
  std::shared_ptr<Account> account_;
  Charge charge_;  // of that
};

// What a server has for all its users. Half of each total is kept in equal shares for those on the allow-list, and one
// for all who are let in for their groups, whoever they are; the rest is first come. The server's own user and root,
// who trust each other, are one user, so the default list keeps nothing back from them. Thread-safe: constant after
// construction.
class Quota : public std::enable_shared_from_this<Quota> {
 public:
  struct Totals {
    size_t calls = 0;
    size_t bytes = 0;
    size_t places = 0;
    size_t descriptors = 0;
  };
  // `users`: the allow-list; empty: `own` and root. `others`: whether users that are not listed are served, too, for
  // their groups.
  Quota(const Totals& totals, const std::vector<uid_t>& users, uid_t own, bool others = false);

  // The same object for the same user, always. It keeps the quota alive. Users that are not listed are one, and have a
  // share if they are served.
  std::shared_ptr<Account> AccountOf(uid_t user);

  // Whether there is anybody to share with.
  bool shared() const { return others_served_ || accounts_.size() > 1; }

  // Calls `visit` with each Account, the one of all who are not listed, too, if they are served.
  template <typename Visit>
  void ForEachAccount(Visit&& visit) const {
    for (const Entry& entry : accounts_) visit(*entry.account);
    if (others_served_) visit(*others_);
  }

  std::string DebugString() const;

 private:
  struct Entry {
    std::vector<uid_t> users;
    std::unique_ptr<Account> account;
  };

  Quota(const Totals& totals, const std::vector<uid_t>& users, uid_t own, bool others, size_t shares);

  std::unique_ptr<Account> MakeAccount(std::string name, size_t shares);

  const Totals totals_;
  const bool others_served_;
  Pool memory_;
  Pool places_;
  Pool descriptors_;
  std::vector<Entry> accounts_;
  std::unique_ptr<Account> others_;
};

}  // namespace nearcall::base
