// SPDX-License-Identifier: Apache-2.0
#include "rpc/server/call_counts.h"

#include <algorithm>

namespace nearcall::rpc {

namespace {

// Who sees that a call has ended sees that it had begun.
uint64_t Get(const std::atomic<uint64_t>& number) {
  return number.load(std::memory_order_acquire);
}

// By the only one who writes it.
void AddAlone(std::atomic<uint64_t>& number, uint64_t more) {
  number.store(number.load(std::memory_order_relaxed) + more, std::memory_order_release);
}

void AddShared(std::atomic<uint64_t>& number, uint64_t more) {
  number.fetch_add(more, std::memory_order_release);
}

}  // namespace

CallCounts::CallCounts(size_t leaders) : leaders_(leaders), sets_(leaders == 0 ? nullptr : new Set[leaders + 1]) {}

void CallCounts::CountBegin(Writer writer, size_t bytes_received) {
  Set& set = SetOf(writer);
  const auto add = writer < leaders_ ? &AddAlone : &AddShared;
  add(set.begun, 1);
  add(set.bytes_received, bytes_received);
}

void CallCounts::Add(Set& set, const End& end, auto add) {
  add(set.ended[std::min(static_cast<size_t>(end.code), kCodes - 1)], 1);
  if (end.refused) add(set.refused, 1);
  if (end.bytes_sent != 0) add(set.bytes_sent, end.bytes_sent);
  const uint64_t ns = static_cast<uint64_t>(std::max<int64_t>(end.ns, 0));
  add(set.ns, ns);
  add(set.latencies[LatencyBuckets::Of(ns)], 1);
}

void CallCounts::CountEnd(Writer writer, const End& end) {
  if (writer < leaders_) return Add(SetOf(writer), end, AddAlone);
  Add(shared(), end, AddShared);
}

void CallCounts::CountRead(uint64_t elements, uint64_t bytes) {
  AddShared(shared().elements_received, elements);
  AddShared(shared().bytes_received, bytes);
}

void CallCounts::CountWritten(uint64_t elements, uint64_t bytes) {
  AddShared(shared().elements_sent, elements);
  AddShared(shared().bytes_sent, bytes);
}

CallCounts::Totals CallCounts::Read() const {
  Totals totals;
  for (size_t i = 0; on() && i <= leaders_; ++i) {
    const Set& set = sets_[i];
    totals.refused += Get(set.refused);
    totals.bytes_received += Get(set.bytes_received);
    totals.bytes_sent += Get(set.bytes_sent);
    totals.elements_received += Get(set.elements_received);
    totals.elements_sent += Get(set.elements_sent);
    totals.ns += Get(set.ns);
    for (size_t code = 0; code < kCodes; ++code) totals.ended[code] += Get(set.ended[code]);
    for (size_t bucket = 0; bucket < LatencyBuckets::kCount; ++bucket) {
      totals.latencies[bucket] += Get(set.latencies[bucket]);
    }
  }
  // Last: what has ended has begun.
  for (size_t i = 0; on() && i <= leaders_; ++i) totals.begun += Get(sets_[i].begun);
  return totals;
}

void CallTally::Begin(CallCounts& counts, CallCounts::Writer leader, size_t bytes_received, base::SteadyNs now) {
  counts_ = counts.on() ? &counts : nullptr;
  end_ = {};
  read_.Reset();
  written_.Reset();
  if (!counts.on()) return;
  leader_ = leader;
  begun_ = now;
  counts.CountBegin(leader, bytes_received);
}

void CallTally::Finish(bool by_leader) {
  if (counts_ == nullptr) return;
  read_.Flush(*counts_, &CallCounts::CountRead);
  written_.Flush(*counts_, &CallCounts::CountWritten);
  end_.ns = base::NowNs() - begun_;
  counts_->CountEnd(by_leader ? leader_ : CallCounts::kAnybody, end_);
  counts_ = nullptr;
}

void CallTally::Elements::Flush(CallCounts& counts, Count count) {
  if (uncounted() == 0) return;
  (counts.*count)(uncounted(), bytes_);
  counted_ = total();
  counted_bytes_ += bytes_;
  bytes_ = 0;
}

void CallTally::Elements::Reset() {
  total_.Reset();
  counted_ = counted_bytes_ = bytes_ = 0;
}

}  // namespace nearcall::rpc
