// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "google/protobuf/message_lite.h"
#include "nearcall/nearcall.h"

namespace nearcall::testing {

// What a fake stream gives, and what was asked of it. Outlives the stream.
struct StreamLog {
  // Elements to be read, as serialised; then Read() is false.
  std::deque<std::string> elements;
  bool may_write = true;
  absl::Status status;
  std::string reply;  // as serialised
  ResponseMetadata metadata;

  std::vector<std::string> calls;                                // as "Write hello"
  std::vector<const google::protobuf::MessageLite*> read_into;   // by each Read() that was true
  const google::protobuf::MessageLite* finished_with = nullptr;  // the reply of the last Finish()
  std::vector<std::string> ends;                                 // "stream", "channel": in the order of their ends

  bool Read(google::protobuf::MessageLite& message) {
    calls.push_back("Read");
    if (elements.empty()) return false;
    read_into.push_back(&message);
    message.ParseFromString(elements.front());
    elements.pop_front();
    return true;
  }
  bool Write(const char* how, const google::protobuf::MessageLite& message) {
    calls.push_back(std::string(how) + " " + message.SerializeAsString());
    return may_write;
  }
};

class FakeClientStream final : public internal::ClientStream {
 public:
  explicit FakeClientStream(std::shared_ptr<StreamLog> log) : log_(std::move(log)) {}
  ~FakeClientStream() override { log_->ends.push_back("stream"); }

  bool Read(google::protobuf::MessageLite& message) override { return log_->Read(message); }
  bool Write(const google::protobuf::MessageLite& message, bool last) override {
    return log_->Write(last ? "WriteLast" : "Write", message);
  }
  bool WritesDone() override {
    log_->calls.push_back("WritesDone");
    return log_->may_write;
  }
  absl::Status Finish(google::protobuf::MessageLite* reply) override {
    log_->calls.push_back("Finish");
    log_->finished_with = reply;
    if (reply != nullptr) reply->ParseFromString(log_->reply);
    return log_->status;
  }
  void Cancel() override { log_->calls.push_back("Cancel"); }
  bool WaitForInitialMetadata() override {
    log_->calls.push_back("WaitForInitialMetadata");
    return log_->status.ok();
  }
  const ResponseMetadata& metadata() const override { return log_->metadata; }

 private:
  const std::shared_ptr<StreamLog> log_;
};

class FakeServerStream final : public internal::ServerStream {
 public:
  bool Read(google::protobuf::MessageLite& message) override { return log.Read(message); }
  bool Write(const google::protobuf::MessageLite& message) override { return log.Write("Write", message); }

  StreamLog log;
};

}  // namespace nearcall::testing
