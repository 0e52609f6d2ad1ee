// SPDX-License-Identifier: Apache-2.0
#include "base/quota.h"

#include "absl/strings/str_cat.h"
#include "base/limits.h"

namespace nearcall::base {

namespace {

constexpr uid_t kRoot = 0;

// Whether a uid is the server's own, as far as sharing goes.
bool IsOwn(uid_t user, uid_t own) {
  return user == own || user == kRoot;
}

// One of `shares` equal parts of half of it; nothing if there are none.
constexpr size_t Share(size_t total, size_t shares) {
  return shares == 0 ? 0 : total / 2 / shares;
}

constexpr size_t Rest(size_t total, size_t shares) {
  return total - shares * Share(total, shares);
}

// How many users the list means.
size_t CountUsers(const std::vector<uid_t>& users, uid_t own) {
  if (users.empty()) return 1;
  std::vector<uid_t> sorted;
  for (const uid_t user : users) sorted.push_back(IsOwn(user, own) ? kRoot : user);
  std::sort(sorted.begin(), sorted.end());
  return static_cast<size_t>(std::unique(sorted.begin(), sorted.end()) - sorted.begin());
}

}  // namespace

bool Pool::TryTake(Amount amount) {
  uint64_t taken = taken_.load(std::memory_order_seq_cst);
  do {
    if (!Amount{taken + amount.word}.IsWithin(size_)) return false;
  } while (!taken_.compare_exchange_weak(taken, taken + amount.word, std::memory_order_seq_cst));
  return true;
}

// What each change moves of the pool is the difference that it makes to what is beyond the share, so these sum up
// whatever the order.
bool Allowance::TryTake(Amount amount) {
  uint64_t taken = taken_.load(std::memory_order_seq_cst);
  for (;;) {
    const Amount after{taken + amount.word};
    const Amount of_the_pool{after.Beyond(share_).word - Amount{taken}.Beyond(share_).word};
    if (of_the_pool.word != 0 && !pool_.TryTake(of_the_pool)) return false;
    if (taken_.compare_exchange_weak(taken, after.word, std::memory_order_seq_cst)) return true;
    if (of_the_pool.word != 0) pool_.Give(of_the_pool);
  }
}

void Allowance::TakeAnyway(Amount amount) {
  const Amount before{taken_.fetch_add(amount.word, std::memory_order_seq_cst)};
  const Amount after{before.word + amount.word};
  pool_.TakeAnyway({after.Beyond(share_).word - before.Beyond(share_).word});
}

void Allowance::Give(Amount amount) {
  const Amount before{taken_.fetch_sub(amount.word, std::memory_order_seq_cst)};
  const Amount after{before.word - amount.word};
  const Amount of_the_pool{before.Beyond(share_).word - after.Beyond(share_).word};
  if (of_the_pool.word != 0) pool_.Give(of_the_pool);
}

bool Allowance::exhausted() const {
  return taken().bytes() >= share_.bytes() && pool_.taken().bytes() >= pool_.size().bytes();
}

absl::Status Account::MemoryRefusal(size_t bytes) const {
  const Amount taken = memory.taken();
  const Amount limit = memory.limit();
  return absl::ResourceExhaustedError(absl::StrCat(
      name, " has ", taken.count(), " calls under way at this server, which hold ", taken.bytes(), " B; with ", bytes,
      " B more that is over its part of ServerOptions::max_total_calls and max_total_bytes, at most ", limit.count(),
      " calls and ", limit.bytes(), " B: make fewer calls at once, or let the server have more"));
}

absl::StatusOr<PaidBytes> PaidBytes::Take(std::shared_ptr<Account> account, size_t size) {
  PaidBytes paid;
  if (account == nullptr) return paid;
  if (!paid.charge_.TryTake(&account->memory, Amount::Of(0, size + kKeptMessageCost))) {
    return account->MemoryRefusal(size);
  }
  paid.account_ = std::move(account);
  return paid;
}

absl::Status Account::DescriptorRefusal() const {
  return absl::ResourceExhaustedError(
      absl::StrCat(name, " uses ", descriptors.taken().count(), " of the server's descriptors; its part of ",
                   "ServerOptions::max_total_descriptors is at most ", descriptors.limit().count(),
                   ": use fewer connections, or let the server have more (RLIMIT_NOFILE, ulimit -n)"));
}

Quota::Quota(const Totals& totals, const std::vector<uid_t>& users, uid_t own, bool others)
    : Quota(totals, users, own, others, CountUsers(users, own) + (others ? 1 : 0)) {}

Quota::Quota(const Totals& totals, const std::vector<uid_t>& users, uid_t own, bool others, size_t shares)
    : totals_(totals),
      others_served_(others),
      memory_(Amount::Of(Rest(totals.calls, shares), Rest(totals.bytes, shares))),
      places_(Amount::Of(Rest(totals.places, shares))),
      descriptors_(Amount::Of(Rest(totals.descriptors, shares))) {
  others_ = MakeAccount("all users that are not listed", others ? shares : 0);
  Entry ours{.users = {own, kRoot}, .account = nullptr};
  const std::string our_name =
      own == kRoot ? "user 0" : absl::StrCat("the server's user (", own, ") and root together");
  if (users.empty()) ours.account = MakeAccount(our_name, shares);
  for (const uid_t user : users) {
    if (IsOwn(user, own)) {
      if (ours.account == nullptr) ours.account = MakeAccount(our_name, shares);
    } else if (AccountOf(user).get() == others_.get()) {
      accounts_.push_back({.users = {user}, .account = MakeAccount(absl::StrCat("user ", user), shares)});
    }
  }
  if (ours.account != nullptr) accounts_.push_back(std::move(ours));
}

std::unique_ptr<Account> Quota::MakeAccount(std::string name, size_t shares) {
  const auto share = [shares](size_t total) { return Share(total, shares); };
  return std::unique_ptr<Account>(new Account{.name = std::move(name),
                                              .memory{Amount::Of(share(totals_.calls), share(totals_.bytes)), memory_},
                                              .places{Amount::Of(share(totals_.places)), places_},
                                              .descriptors{Amount::Of(share(totals_.descriptors)), descriptors_}});
}

std::shared_ptr<Account> Quota::AccountOf(uid_t user) {
  Account* found = others_.get();
  for (const Entry& entry : accounts_) {
    if (std::find(entry.users.begin(), entry.users.end(), user) != entry.users.end()) found = entry.account.get();
  }
  return {weak_from_this().lock(), found};
}

std::string Quota::DebugString() const {
  std::string text;
  ForEachAccount([&text](const Account& account) {
    absl::StrAppend(&text, account.name, ": ", account.memory.taken().count(), " calls, ",
                    account.memory.taken().bytes(), " B, ", account.places.taken().count(), " handlers, ",
                    account.descriptors.taken().count(), " descriptors\n");
  });
  return text;
}

}  // namespace nearcall::base
