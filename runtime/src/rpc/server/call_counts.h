// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>

#include "absl/status/status.h"
#include "base/clock.h"
#include "rpc/message_count.h"
#include "rpc/server/latency_buckets.h"

namespace nearcall::rpc {

// How often a method was called, how its calls have ended, what they have moved, and how long they took: from their
// request being read until they were over. All of its memory is taken at first.
//
// Any thread may count, and read. Each leader has numbers of his own, which no other thread writes: there counting is a
// load and a store. All others share one set.
class CallCounts {
 public:
  // Whose numbers: those of the leader of the poller with that index.
  using Writer = size_t;
  static constexpr Writer kAnybody = std::numeric_limits<size_t>::max();

  static constexpr size_t kCodes = 17;  // gRPC's

  struct End {
    absl::StatusCode code = absl::StatusCode::kCancelled;
    bool refused = false;  // without a handler
    size_t bytes_sent = 0;
    int64_t ns = 0;
  };

  struct Totals {
    uint64_t begun = 0;
    uint64_t refused = 0;
    uint64_t bytes_received = 0;
    uint64_t bytes_sent = 0;
    uint64_t elements_received = 0;
    uint64_t elements_sent = 0;
    uint64_t ns = 0;
    std::array<uint64_t, kCodes> ended = {};
    std::array<uint64_t, LatencyBuckets::kCount> latencies = {};
  };

  // For so many leaders; none: nothing is counted.
  explicit CallCounts(size_t leaders);
  CallCounts(const CallCounts&) = delete;
  CallCounts& operator=(const CallCounts&) = delete;

  bool on() const { return sets_ != nullptr; }

  // Not if it is not on():
  void CountBegin(Writer writer, size_t bytes_received);
  void CountEnd(Writer writer, const End& end);
  void CountRead(uint64_t elements, uint64_t bytes);
  void CountWritten(uint64_t elements, uint64_t bytes);

  // As of a moment ago, though not of the same moment for all of them.
  Totals Read() const;

 private:
  using Number = std::atomic<uint64_t>;

  // One writer's, in cache lines of its own.
  struct alignas(64) Set {
    Number begun{0};
    Number refused{0};
    Number bytes_received{0};
    Number bytes_sent{0};
    Number elements_received{0};
    Number elements_sent{0};
    Number ns{0};
    std::array<Number, kCodes> ended{};
    std::array<Number, LatencyBuckets::kCount> latencies{};
  };

  Set& shared() const { return sets_[leaders_]; }
  Set& SetOf(Writer writer) const { return writer < leaders_ ? sets_[writer] : shared(); }
  static void Add(Set& set, const End& end, auto add);

  const size_t leaders_;
  const std::unique_ptr<Set[]> sets_;  // the leaders', and the shared one
};

// What is counted of one call, until it is over. Part of its call; used by the thread that has it, and, for elements,
// by those that read and write its stream.
class CallTally {
 public:
  // Its request has been read, by the leader `leader`. `counts`: of its method, and outlive it.
  void Begin(CallCounts& counts, CallCounts::Writer leader, size_t bytes_received, base::SteadyNs now);

  void NoteRefused() { end_.refused = true; }
  // With the last one it ends; without any, because its client has gone: CANCELLED.
  void NoteAnswer(absl::StatusCode code) { end_.code = code; }
  absl::StatusCode code() const { return end_.code; }
  // After Finish().
  const CallCounts::End& end() const { return end_; }
  void NoteSent(size_t bytes) { end_.bytes_sent += bytes; }

  // By who reads, and who writes; whether or not they are counted.
  void NoteElementRead(size_t bytes) { read_.Add(bytes, counts_, &CallCounts::CountRead); }
  void NoteElementWritten(size_t bytes) { written_.Add(bytes, counts_, &CallCounts::CountWritten); }

  // So many until now. By any thread.
  uint64_t elements_read() const { return read_.total(); }
  uint64_t elements_written() const { return written_.total(); }
  // After Finish(), and only where they were counted.
  uint64_t bytes_read() const { return read_.counted_bytes(); }
  uint64_t bytes_written() const { return written_.counted_bytes(); }

  // By the leader that began it, or another thread.
  void Finish(bool by_leader);

 private:
  // Elements, of which some are not counted yet: not each has to pay for that.
  class Elements {
   public:
    using Count = void (CallCounts::*)(uint64_t elements, uint64_t bytes);
    void Add(size_t bytes, CallCounts* counts, Count count) {
      total_.Add();
      if (counts == nullptr) return;
      bytes_ += bytes;
      if (uncounted() >= kMostElements || bytes_ >= kMostBytes) Flush(*counts, count);
    }
    void Flush(CallCounts& counts, Count count);
    void Reset();
    uint64_t total() const { return total_.get(); }
    uint64_t counted_bytes() const { return counted_bytes_; }

   private:
    static constexpr uint64_t kMostElements = 16;
    static constexpr uint64_t kMostBytes = uint64_t{16} << 10;

    uint64_t uncounted() const { return total() - counted_; }

    MessageCount total_;
    uint64_t counted_ = 0;
    uint64_t counted_bytes_ = 0;
    uint64_t bytes_ = 0;  // of those that are not
  };

  CallCounts* counts_ = nullptr;  // null: nothing is counted
  CallCounts::Writer leader_ = CallCounts::kAnybody;
  base::SteadyNs begun_ = 0;
  CallCounts::End end_;
  Elements read_;
  Elements written_;
};

}  // namespace nearcall::rpc
