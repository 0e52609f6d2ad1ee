// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "commands.h"
#include "input.h"
#include "json.h"
#include "metadata_flags.h"
#include "nearcall/generic.h"

namespace nearcall::tools {

namespace {

using google::protobuf::Message;
using google::protobuf::MethodDescriptor;

// One call, from its JSON to its JSON.
class JsonCall {
 public:
  JsonCall(const Settings& settings, const MethodDescriptor& method, std::shared_ptr<Channel> channel,
           Metadata metadata)
      : settings_(settings),
        name_(absl::StrCat(std::string(method.service()->full_name()), "/", std::string(method.name()))),
        method_(method),
        stub_(std::move(channel)),
        options_{.deadline = settings.deadline, .priority = settings.priority, .metadata = std::move(metadata)},
        request_(factory_.GetPrototype(method.input_type())->New()),
        reply_(factory_.GetPrototype(method.output_type())->New()) {}

  Outcome Run() {
    absl::StatusOr<Input> input = Input::Open(settings_.data.value_or(""));
    if (!input.ok()) return Outcome::Because(kBadInput, std::string(input.status().message()));
    if (method_.client_streaming()) {
      return method_.server_streaming() ? RunStream(stub_.BidiStreaming(name_, options_), *input) : RunUpload(*input);
    }
    if (absl::Status read = ReadMessage(*input, settings_.deadline, *request_); !read.ok()) return OfInput(read);
    return method_.server_streaming() ? RunDownload() : RunUnary();
  }

 private:
  // --- what is sent ---

  static Outcome OfInput(const absl::Status& status) {
    if (absl::IsDeadlineExceeded(status)) return Outcome::OfCall(status);
    return Outcome::Because(kBadInput, std::string(status.message()));
  }

  Bytes Request() const { return Bytes(request_->SerializeAsString()); }

  // Each line, until there are no more, or the call has ended; then half-closes.
  Outcome WriteAll(auto& stream, Input& input, const std::atomic<bool>& stop) {
    std::string line;
    for (;;) {
      const absl::StatusOr<bool> next = input.Next(line, settings_.deadline, stop);
      if (!next.ok()) return OfInput(next.status());
      if (!*next) break;
      if (absl::Status parsed = FromJson(line, *request_); !parsed.ok()) return OfInput(parsed);
      if (!stream.Write(Request())) break;
    }
    stream.WritesDone();
    return {};
  }

  // --- what comes ---

  Outcome Print(const Bytes& bytes) {
    if (!reply_->ParseFromString(bytes.str())) {
      return Outcome::Because(
          kUnknownSymbol, absl::StrCat("what the server sent does not parse as ", std::string(reply_->GetTypeName()),
                                       "; is the description of the service another one's?"));
    }
    const absl::StatusOr<std::string> json = ToJson(*reply_, settings_.json);
    if (!json.ok()) return Outcome::Because(kUnknownSymbol, std::string(json.status().message()));
    std::printf("%s\n", json->c_str());
    std::fflush(stdout);  // somebody may wait for it at the other end of a pipe
    return {};
  }

  void Tell(const ResponseMetadata& metadata) const {
    if (!settings_.verbose) return;
    std::fputs(ToText(metadata.initial, "< ").c_str(), stderr);
    std::fputs(ToText(metadata.trailing, "<< ").c_str(), stderr);
  }

  Outcome RunUnary() {
    ResponseMetadata metadata;
    options_.response_metadata = &metadata;
    const absl::StatusOr<Bytes> reply = stub_.Unary(name_, Request(), options_);
    Tell(metadata);
    return reply.ok() ? Print(*reply) : Outcome::OfCall(reply.status());
  }

  Outcome ReadAll(auto& stream) {
    Bytes element;
    while (stream.Read(&element)) {
      if (Outcome printed = Print(element); !printed.ok()) return printed;
    }
    return {};
  }

  Outcome RunDownload() {
    const auto stream = stub_.ServerStreaming(name_, Request(), options_);
    if (Outcome read = ReadAll(*stream); !read.ok()) return read;
    const Outcome ended = Outcome::OfCall(stream->Finish());
    Tell(stream->metadata());
    return ended;
  }

  Outcome RunUpload(Input& input) {
    const auto stream = stub_.ClientStreaming(name_, options_);
    if (Outcome written = WriteAll(*stream, input, never_); !written.ok()) return written;
    const absl::StatusOr<Bytes> reply = stream->Finish();
    Tell(stream->metadata());
    return reply.ok() ? Print(*reply) : Outcome::OfCall(reply.status());
  }

  Outcome RunStream(std::unique_ptr<ClientReaderWriter<Bytes, Bytes>> stream, Input& input) {
    std::atomic<bool> over{false};
    Outcome written;
    std::thread writer([&] {
      written = WriteAll(*stream, input, over);
      if (!written.ok()) stream->Cancel();
    });
    const Outcome read = ReadAll(*stream);
    if (!read.ok()) stream->Cancel();
    over = true;
    writer.join();
    const Outcome ended = Outcome::OfCall(stream->Finish());
    Tell(stream->metadata());
    if (!read.ok()) return read;
    return written.ok() ? ended : written;
  }

  const Settings& settings_;
  const std::string name_;
  const MethodDescriptor& method_;
  const GenericStub stub_;
  CallOptions options_;
  const std::atomic<bool> never_{false};
  google::protobuf::DynamicMessageFactory factory_;
  const std::unique_ptr<Message> request_;
  const std::unique_ptr<Message> reply_;
};

}  // namespace

Outcome Call(const Settings& settings) {
  absl::StatusOr<Metadata> metadata = MetadataOf(settings.headers);
  if (!metadata.ok()) return Outcome::Because(kUsage, std::string(metadata.status().message()));
  const auto channel = ConnectTo(settings.address, settings.deadline);
  if (!channel.ok()) return Outcome::OfConnect(channel.status());
  const auto schema = MakeSchema(settings, *channel);
  if (!schema.ok()) return OfSchema(schema.status());
  const auto method = (*schema)->FindMethod(settings.name);
  if (!method.ok()) return OfSchema(method.status());
  return JsonCall(settings, **method, *channel, *std::move(metadata)).Run();
}

}  // namespace nearcall::tools
