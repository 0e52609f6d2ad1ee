// SPDX-License-Identifier: Apache-2.0
#include "base/descriptors.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/closer.h"
#include "base/syscall.h"

namespace nearcall::base {

const char kOverDescriptorBudget[] =
    "the descriptors are over the user's part of ServerOptions::max_total_descriptors, or over what one connection may "
    "hold (1024): those of earlier messages are neither taken nor closed yet";

DescriptorBudget::Taken DescriptorBudget::TakeReceived(size_t count) {
  if (TryTake(count)) return Taken::kYes;
  if (over_.load(std::memory_order_relaxed) + count > kMaxDescriptorsOverAllowance) return Taken::kBroken;
  over_.fetch_add(count, std::memory_order_relaxed);
  held_.fetch_add(count, std::memory_order_relaxed);
  if (account_ != nullptr) account_->descriptors.TakeAnyway(Amount::Of(count));
  return Taken::kOver;
}

bool DescriptorBudget::TryTake(size_t count) {
  if (held_.fetch_add(count, std::memory_order_relaxed) + count <= kMaxHeldDescriptors &&
      (account_ == nullptr || account_->descriptors.TryTake(Amount::Of(count)))) {
    return true;
  }
  held_.fetch_sub(count, std::memory_order_relaxed);
  return false;
}

void DescriptorBudget::Give(size_t count, bool over) {
  if (over) over_.fetch_sub(count, std::memory_order_relaxed);
  held_.fetch_sub(count, std::memory_order_relaxed);
  if (account_ != nullptr) account_->descriptors.Give(Amount::Of(count));
}

// Closes them when it ends, and pays for them until then.
class Descriptors::Set final : public Unclosed {
 public:
  Set(std::span<Fd> fds, std::shared_ptr<DescriptorBudget> budget, bool over, const char* why)
      : Unclosed(budget == nullptr ? nullptr : budget->account()),
        size_(fds.size()),
        over_(over),
        why_(why),
        budget_(std::move(budget)) {
    NEARCALL_CHECK(size_ <= fds_.size());
    std::transform(fds.begin(), fds.end(), fds_.begin(), [](Fd& fd) { return fd.Release(); });
  }
  ~Set() override {
    for (size_t i = 0; i < size_; ++i) Fd(fds_[i]).Reset();
    GiveBack();
  }

  std::span<const int> fds() const { return {fds_.data(), size_}; }
  const char* why() const { return why_; }

  // An empty one for some of these.
  Ptr MakeAnother() const { return Ptr(new Set({}, budget_, over_, why_)); }
  // The last `count` of `other`, with what has been taken of the budget for them.
  void TakeLast(size_t count, Set& other) {
    other.size_ -= count;
    std::copy_n(other.fds_.begin() + static_cast<std::ptrdiff_t>(other.size_), count, fds_.begin());
    size_ = count;
  }

  std::vector<UniqueFd> Release() {
    std::vector<UniqueFd> released;
    released.reserve(size_);
    for (const int fd : fds()) released.emplace_back(fd);
    GiveBack();
    size_ = 0;
    return released;
  }

 private:
  void GiveBack() {
    if (budget_ != nullptr && size_ != 0) budget_->Give(size_, over_);
  }

  std::array<int, kMaxMessageDescriptors> fds_{};
  size_t size_;
  const bool over_;
  const char* const why_;
  const std::shared_ptr<DescriptorBudget> budget_;
};

void Descriptors::Destroy::operator()(Set* set) const {
  DestroyElsewhere(std::unique_ptr<Unclosed>(set));
}

Descriptors Descriptors::Own(std::span<Fd> fds, std::shared_ptr<DescriptorBudget> budget, bool over) {
  Descriptors owned;
  if (!fds.empty()) owned.set_ = Ptr(new Set(fds, std::move(budget), over, nullptr));
  return owned;
}

Descriptors Descriptors::Refused(const char* why) {
  Descriptors refused;
  refused.set_ = Ptr(new Set({}, nullptr, false, why));
  return refused;
}

absl::StatusOr<Descriptors> Descriptors::Duplicate(std::span<const int> fds, std::shared_ptr<DescriptorBudget> budget) {
  if (fds.empty()) return Descriptors();
  if (budget != nullptr && !budget->TryTake(fds.size())) return absl::ResourceExhaustedError(kOverDescriptorBudget);
  std::array<Fd, kMaxMessageDescriptors> own;
  // What has been taken is given back by the set, whatever becomes of it.
  Descriptors duplicates;
  absl::Status failure;
  for (size_t i = 0; i < fds.size(); ++i) {
    own[i] = base::Duplicate(fds[i]);
    if (!own[i].valid()) failure.Update(ErrnoStatus("cannot keep a descriptor until it can be sent"));
  }
  duplicates.set_ = Ptr(new Set(std::span(own).first(fds.size()), std::move(budget), false, nullptr));
  if (!failure.ok()) return failure;
  return duplicates;
}

std::span<const int> Descriptors::fds() const {
  return set_ == nullptr ? std::span<const int>() : set_->fds();
}

absl::Status Descriptors::Refusal() const {
  return set_->why() == nullptr ? absl::OkStatus() : absl::ResourceExhaustedError(set_->why());
}

Descriptors Descriptors::TakeLast(size_t count) {
  if (set_ == nullptr || count == 0 || count > set_->fds().size()) return {};
  if (count == set_->fds().size()) return std::move(*this);
  Descriptors taken;
  taken.set_ = set_->MakeAnother();
  taken.set_->TakeLast(count, *set_);
  return taken;
}

std::vector<UniqueFd> Descriptors::Release() {
  if (set_ == nullptr) return {};
  std::vector<UniqueFd> released = set_->Release();
  delete set_.release();
  return released;
}

// What holds nothing is not worth another thread.
void Descriptors::Discard() {
  if (set_->fds().empty()) {
    delete set_.release();
  } else {
    set_.reset();
  }
}

absl::Status CheckDescriptors(std::span<const int> fds, const char* whose) {
  if (fds.size() > kMaxMessageDescriptors) {
    return absl::InvalidArgumentError(absl::StrCat(whose, " has ", fds.size(), " descriptors, at most ",
                                                   kMaxMessageDescriptors, " go with a message"));
  }
  for (size_t i = 0; i < fds.size(); ++i) {
    if (fds[i] >= 0 && ::fcntl(fds[i], F_GETFD) >= 0) continue;
    return absl::InvalidArgumentError(absl::StrCat(whose, "[", i, "] is ", fds[i], ", which is no open descriptor"));
  }
  return absl::OkStatus();
}

}  // namespace nearcall::base
