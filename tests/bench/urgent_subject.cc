// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/mutex.h"
#include "bench/nearcall_subject.h"
#include "bench/payload.h"
#include "echo.nearcall.pb.h"

namespace nearcall::bench {

namespace {

constexpr size_t kBulkSize = size_t{256} << 10;
constexpr int kBulkInFlight = 8;

// All the low-priority traffic that a channel can carry, by callback.
class BulkLoad {
 public:
  explicit BulkLoad(std::shared_ptr<Channel> channel) : stub_(std::move(channel)) {
    request_.set_payload(MakePayload(kBulkSize));
  }

  void Begin() {
    wanted_ = true;
    {
      base::MutexLock lock(mutex_);
      in_flight_ = kBulkInFlight;
    }
    for (int i = 0; i < kBulkInFlight; ++i) Send();
  }

  void End() {
    wanted_ = false;
    base::MutexLock lock(mutex_);
    while (in_flight_ != 0) ended_.Wait(mutex_);
  }

 private:
  void Send() {
    stub_.Put(request_,
              [this](const absl::StatusOr<::bench::Data>& reply) {
                ExpectOk(reply.status());
                if (wanted_) return Send();
                base::MutexLock lock(mutex_);
                if (--in_flight_ == 0) ended_.NotifyAll();
              },
              {.priority = Priority::kLow});
  }

  const ::bench::Echo::AsyncStub stub_;
  ::bench::Data request_;
  std::atomic<bool> wanted_{false};
  base::Mutex mutex_;
  base::CondVar ended_;
  int in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
};

class UrgentSubject final : public Subject {
 public:
  explicit UrgentSubject(const std::shared_ptr<Channel>& channel) : stub_(channel), load_(channel) {}

  void SetSize(size_t size) override { request_.set_payload(MakePayload(size)); }
  void Begin() override { load_.Begin(); }
  void End() override { load_.End(); }

  void Call() override {
    Stamp(*request_.mutable_payload());
    ExpectOk(stub_.Say(request_, &reply_, {.priority = Priority::kUrgent}));
  }
  void Check() override { ExpectEcho("nearcall, urgent", request_.payload(), reply_.payload()); }

 private:
  const ::bench::Echo::Stub stub_;
  ::bench::Data request_;
  ::bench::Data reply_;
  BulkLoad load_;
};

class LoadedSemaphore final : public Subject {
 public:
  LoadedSemaphore(std::unique_ptr<Subject> floor, std::shared_ptr<Channel> channel)
      : floor_(std::move(floor)), load_(std::move(channel)) {}

  void Begin() override { load_.Begin(); }
  void End() override { load_.End(); }
  void Call() override { floor_->Call(); }

 private:
  const std::unique_ptr<Subject> floor_;
  BulkLoad load_;
};

}  // namespace

std::unique_ptr<Subject> MakeUrgent(const SubjectParams& params) {
  return std::make_unique<UrgentSubject>(ConnectTo(params));
}

std::unique_ptr<Subject> MakeLoadedSemaphore(const SubjectParams& params) {
  SubjectParams floor = params;
  floor.subject = "semaphore";
  // It forks, so it comes before the channel's threads.
  std::unique_ptr<Subject> semaphore = MakeFloor(floor);
  return std::make_unique<LoadedSemaphore>(std::move(semaphore), ConnectTo(params));
}

}  // namespace nearcall::bench
