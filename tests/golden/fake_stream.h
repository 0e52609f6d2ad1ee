// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <span>
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

  // For those that do not wait.
  bool open = false;  // more may come; else what is above is all there will be
  bool full = false;  // no element can be written now
  internal::Operation* reader = nullptr;
  internal::Operation* writer = nullptr;
  std::function<void()> before_wait;  // once, before an operation is left
  std::function<void()> once_left;    // once, when one has been

  internal::Tried TryRead(google::protobuf::MessageLite& message) {
    if (open && elements.empty()) return internal::Tried::kNotYet;
    return Read(message) ? internal::Tried::kDone : internal::Tried::kOver;
  }
  internal::Tried TryWrite(const char* how, const google::protobuf::MessageLite& message) {
    if (full) return internal::Tried::kNotYet;
    return Write(how, message) ? internal::Tried::kDone : internal::Tried::kOver;
  }
  bool WhenReadable(internal::Operation& operation) {
    return When(reader, operation, [this] { return !open || !elements.empty(); });
  }
  bool WhenWritable(internal::Operation& operation) {
    return When(writer, operation, [this] { return !full; });
  }
  bool When(internal::Operation*& place, internal::Operation& operation, const std::function<bool()>& is_ready) {
    if (before_wait) std::exchange(before_wait, nullptr)();
    if (is_ready()) return false;
    EXPECT_EQ(place, nullptr);
    place = &operation;
    calls.push_back("wait");
    if (once_left) std::exchange(once_left, nullptr)();
    return true;
  }
  void Withdraw(const internal::Operation& operation) {
    calls.push_back("Withdraw");
    if (reader == &operation) reader = nullptr;
    if (writer == &operation) writer = nullptr;
  }
  void RunReader() { std::exchange(reader, nullptr)->Run(); }
  void RunWriter() { std::exchange(writer, nullptr)->Run(); }

  bool Read(google::protobuf::MessageLite& message) {
    calls.push_back("Read");
    if (elements.empty()) return false;
    read_into.push_back(&message);
    EXPECT_TRUE(message.ParseFromString(elements.front()));
    elements.pop_front();
    return true;
  }
  bool Write(const char* how, const google::protobuf::MessageLite& message) {
    calls.push_back(std::string(how) + " " + message.SerializeAsString());
    return may_write;
  }
};

// A stream of which no element brings descriptors or attachments: generated code has nothing to do with these.
template <typename Interface>
class BareStream : public Interface {
 public:
  std::vector<UniqueFd> TakeDescriptors() override { return {}; }
  const std::vector<Buffer>& attachments() const override {
    static const std::vector<Buffer> none;
    return none;
  }
  void Lend(std::span<const int>) override {}
  void Attach(Buffer) override {}
};

class FakeClientStream final : public BareStream<internal::ClientStream> {
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
    if (reply != nullptr) {
      EXPECT_TRUE(reply->ParseFromString(log_->reply));
    }
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

class FakeClientCall final : public BareStream<internal::ClientCall> {
 public:
  explicit FakeClientCall(std::shared_ptr<StreamLog> log) : log_(std::move(log)) {}
  ~FakeClientCall() override { log_->ends.push_back("call"); }

  internal::Tried TryRead(google::protobuf::MessageLite& element) override { return log_->TryRead(element); }
  internal::Tried TryInitialMetadata() override {
    if (log_->open && log_->elements.empty()) return internal::Tried::kNotYet;
    log_->calls.push_back("InitialMetadata");
    return log_->status.ok() ? internal::Tried::kDone : internal::Tried::kOver;
  }
  internal::Tried TryFinish(google::protobuf::MessageLite* reply, absl::Status& status) override {
    if (log_->open) return internal::Tried::kNotYet;
    log_->calls.push_back("Finish");
    log_->finished_with = reply;
    if (reply != nullptr) {
      EXPECT_TRUE(reply->ParseFromString(log_->reply));
    }
    status = log_->status;
    return internal::Tried::kDone;
  }
  bool WhenReadable(internal::Operation& operation) override { return log_->WhenReadable(operation); }

  internal::Tried TryWrite(const google::protobuf::MessageLite& element, bool last) override {
    return log_->TryWrite(last ? "WriteLast" : "Write", element);
  }
  bool WritesDone() override {
    log_->calls.push_back("WritesDone");
    return log_->may_write;
  }
  bool WhenWritable(internal::Operation& operation) override { return log_->WhenWritable(operation); }

  void Withdraw(internal::Operation& operation) override { log_->Withdraw(operation); }
  void Cancel() override {
    log_->calls.push_back("Cancel");
    log_->status = absl::CancelledError();
    log_->open = log_->full = log_->may_write = false;
  }
  const ResponseMetadata& metadata() const override { return log_->metadata; }

 private:
  const std::shared_ptr<StreamLog> log_;
};

class FakeServerStream final : public BareStream<internal::ServerStream> {
 public:
  bool Read(google::protobuf::MessageLite& message) override { return log.Read(message); }
  bool Write(const google::protobuf::MessageLite& message) override { return log.Write("Write", message); }
  internal::Tried TryRead(google::protobuf::MessageLite& message) override { return log.TryRead(message); }
  internal::Tried TryWrite(const google::protobuf::MessageLite& message) override {
    return log.TryWrite("Write", message);
  }
  bool WhenReadable(internal::Operation& operation) override { return log.WhenReadable(operation); }
  bool WhenWritable(internal::Operation& operation) override { return log.WhenWritable(operation); }
  void Withdraw(internal::Operation& operation) override { log.Withdraw(operation); }
  // Generated code has nothing to do with these.
  void TellNews() override {}
  internal::Tried TryNews() override { return internal::Tried::kOver; }
  bool WaitForNews() override { return false; }
  bool WhenNews(internal::Operation&) override { return false; }

  StreamLog log;
};

}  // namespace nearcall::testing
