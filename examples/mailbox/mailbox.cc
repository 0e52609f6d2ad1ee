// SPDX-License-Identifier: Apache-2.0
#include "mailbox.h"

#include <algorithm>
#include <limits>
#include <set>
#include <utility>

namespace mailbox {

namespace {

absl::Status Cancelled() {
  return absl::CancelledError("nobody waits any more");
}

}  // namespace

// A box exists as long as somebody uses it or there is something in it. Under the lock.
class MailboxImpl::Use {
 public:
  Use(MailboxImpl& all, const std::string& name) : all_(all), place_(all.boxes_.try_emplace(name).first) {
    ++place_->second.users;
  }
  ~Use() {
    Box& box = place_->second;
    if (--box.users == 0 && box.waiting.empty() && box.taken.empty()) all_.boxes_.erase(place_);
  }
  Use(const Use&) = delete;

  Box& operator*() const { return place_->second; }
  Box* operator->() const { return &place_->second; }

 private:
  MailboxImpl& all_;
  const std::map<std::string, Box>::iterator place_;
};

absl::Status MailboxImpl::Put(nearcall::ServerContext& context, const PutRequest& request, PutReply& reply) {
  const size_t size = request.body().size();
  if (size > limits_.bytes) return absl::InvalidArgumentError("the letter is larger than a box");
  context.WillBlock();
  std::unique_lock lock(mutex_);
  if (boxes_.size() >= limits_.boxes && boxes_.count(request.box()) == 0) {
    return absl::ResourceExhaustedError("there are too many boxes");
  }
  const Use box(*this, request.box());
  const auto has_room = [&] {
    return box->waiting.size() + box->taken.size() < limits_.letters && box->bytes + size <= limits_.bytes;
  };
  if (!changed_.wait(lock, context.stop_token(), has_room)) return Cancelled();
  Letter& letter = box->waiting.emplace_back();
  letter.set_id(++last_id_);
  letter.set_body(request.body());
  box->bytes += size;
  reply.set_id(letter.id());
  changed_.notify_all();
  return absl::OkStatus();
}

absl::Status MailboxImpl::Take(nearcall::ServerContext& context, const TakeRequest& request,
                               nearcall::ServerWriter<Letter>& letters) {
  context.WillBlock();
  std::set<uint64_t> mine;  // perhaps acknowledged meanwhile
  std::unique_lock lock(mutex_);
  if (boxes_.size() >= limits_.boxes && boxes_.count(request.box()) == 0) {
    return absl::ResourceExhaustedError("there are too many boxes");
  }
  const Use box(*this, request.box());
  size_t left = request.count() == 0 ? std::numeric_limits<size_t>::max() : request.count();
  const auto goes_on = [&] {
    std::erase_if(mine, [&](uint64_t id) { return box->taken.count(id) == 0; });
    if (left == 0) return mine.empty();
    return !box->waiting.empty() && mine.size() < std::max<size_t>(request.max_unacknowledged(), 1);
  };
  for (bool written = true; written && changed_.wait(lock, context.stop_token(), goes_on);) {
    if (left == 0) return absl::OkStatus();
    --left;
    const Letter letter = std::move(box->waiting.front());
    box->waiting.pop_front();
    box->taken.emplace(letter.id(), letter);
    mine.insert(letter.id());
    lock.unlock();
    written = letters.Write(letter);
    lock.lock();
  }
  // In their order, before those that nobody has had.
  for (auto id = mine.rbegin(); id != mine.rend(); ++id) {
    const auto taken = box->taken.find(*id);
    if (taken == box->taken.end()) continue;
    Letter& letter = box->waiting.emplace_front(std::move(taken->second));
    letter.set_redelivered(true);
    box->taken.erase(taken);
  }
  changed_.notify_all();
  return Cancelled();
}

absl::Status MailboxImpl::Ack(nearcall::ServerContext&, const AckRequest& request, AckReply&) {
  const std::lock_guard lock(mutex_);
  const auto place = boxes_.find(request.box());
  if (place == boxes_.end()) return absl::NotFoundError("there is no such box");
  const Use box(*this, request.box());
  const auto taken = box->taken.find(request.id());
  if (taken == box->taken.end()) return absl::NotFoundError("the letter is not with anybody");
  box->bytes -= taken->second.body().size();
  box->taken.erase(taken);
  changed_.notify_all();
  return absl::OkStatus();
}

}  // namespace mailbox
