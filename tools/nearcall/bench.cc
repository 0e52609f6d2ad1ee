// SPDX-License-Identifier: Apache-2.0
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "commands.h"
#include "input.h"
#include "json.h"
#include "latency_text.h"
#include "load.h"
#include "metadata_flags.h"
#include "printable.h"

namespace nearcall::tools {

namespace {

using google::protobuf::MethodDescriptor;

constexpr absl::Duration kUsualDuration = absl::Seconds(5);

std::atomic<bool> interrupted{false};

// What is sent each time, from the JSON.
absl::StatusOr<Bytes> RequestOf(const Settings& settings, const MethodDescriptor& method) {
  absl::StatusOr<Input> input = Input::Open(settings.data.value_or(""));
  if (!input.ok()) return input.status();
  google::protobuf::DynamicMessageFactory factory;
  const std::unique_ptr<google::protobuf::Message> request(factory.GetPrototype(method.input_type())->New());
  if (absl::Status read = ReadMessage(*input, settings.deadline, *request); !read.ok()) return read;
  return Bytes(request->SerializeAsString());
}

// All of them connected before anything is measured.
absl::StatusOr<std::vector<std::shared_ptr<Channel>>> ConnectAll(const Settings& settings,
                                                                 std::shared_ptr<Channel> first) {
  std::vector<std::shared_ptr<Channel>> channels = {std::move(first)};
  while (channels.size() < settings.connections) {
    auto channel = ConnectTo(settings.address, settings.deadline);
    if (!channel.ok()) return channel.status();
    channels.push_back(*std::move(channel));
  }
  return channels;
}

std::string LoopText(const Settings& settings) {
  return settings.rate.has_value() ? absl::StrFormat("%g calls/s, open loop", *settings.rate) : "closed loop";
}

double PerSecond(const Load::Result& result) {
  return static_cast<double>(result.latency.count()) / std::max(absl::ToDoubleSeconds(result.took), 1e-9);
}

void PrintText(const Settings& settings, const std::string& transport, const Load::Result& result) {
  const size_t calls = static_cast<size_t>(result.latency.count()) + result.failed();
  std::printf("%s of %s over %s: %zu callers, %zu connections, %s\n", settings.name.c_str(), settings.address.c_str(),
              transport.c_str(), settings.concurrency, settings.connections, LoopText(settings).c_str());
  std::printf("%zu calls in %.2f s, %zu of them failed; %.0f calls/s that went well\n", calls,
              absl::ToDoubleSeconds(result.took), static_cast<size_t>(result.failed()), PerSecond(result));
  if (result.latency.count() != 0) {
    std::printf("latency of %zu calls that went well, in microseconds:\n%s",
                static_cast<size_t>(result.latency.count()), LatencyText(result.latency).c_str());
  }
  for (const auto& [code, failure] : result.failures) {
    std::printf("%s: %zu, such as: %s\n", absl::StatusCodeToString(code).c_str(), static_cast<size_t>(failure.count),
                Printable(failure.example).c_str());
  }
}

void PrintJson(const Settings& settings, const std::string& transport, const Load::Result& result) {
  const std::string failures = absl::StrJoin(result.failures, ",", [](std::string* to, const auto& of_code) {
    absl::StrAppend(to, JsonString(absl::StatusCodeToString(of_code.first)), ":", of_code.second.count);
  });
  std::printf(
      "{\"method\":%s,\"address\":%s,\"transport\":%s,\"callers\":%zu,\"connections\":%zu,\"rate\":%s,"
      "\"seconds\":%.6f,\"calls_per_second\":%.3f,\"latency_us\":%s,\"failed\":{%s}}\n",
      JsonString(settings.name).c_str(), JsonString(settings.address).c_str(), JsonString(transport).c_str(),
      settings.concurrency, settings.connections,
      settings.rate.has_value() ? absl::StrCat(*settings.rate).c_str() : "null", absl::ToDoubleSeconds(result.took),
      PerSecond(result), LatencyJson(result.latency).c_str(), failures.c_str());
}

// All failed: as one call would have ended.
Outcome OutcomeOf(const Load::Result& result) {
  if (result.latency.count() != 0 || result.failures.empty()) return {};
  const auto& [code, failure] = *result.failures.begin();
  return Outcome::OfCall(absl::Status(code, failure.example));
}

Outcome Measure(const Settings& settings, const MethodDescriptor& method, std::shared_ptr<Channel> channel,
                Metadata metadata) {
  if (method.client_streaming() || method.server_streaming()) {
    return Outcome::Because(kUsage, absl::StrCat(settings.name, " streams; bench calls methods that do not"));
  }
  absl::StatusOr<Bytes> request = RequestOf(settings, method);
  if (!request.ok()) return Outcome::Because(kBadInput, std::string(request.status().message()));
  const auto channels = ConnectAll(settings, channel);
  if (!channels.ok()) return Outcome::OfConnect(channels.status());
  const Load::Plan plan = {
      .method = absl::StrCat(std::string(method.service()->full_name()), "/", std::string(method.name())),
      .request = *std::move(request),
      .options = {.priority = settings.priority, .metadata = std::move(metadata)},
      .timeout = settings.timeout,
      .callers = settings.concurrency,
      .rate = settings.rate,
      .calls = settings.calls,
      .duration = settings.duration.value_or(settings.calls.has_value() ? absl::InfiniteDuration() : kUsualDuration)};
  // Who is interrupted tells what it has seen.
  std::signal(SIGINT, [](int) { interrupted = true; });
  const Load::Result result = Load(plan, *channels).Run(interrupted);
  std::signal(SIGINT, SIG_DFL);
  if (settings.format == Format::kJson) {
    PrintJson(settings, channel->transport(), result);
  } else {
    PrintText(settings, channel->transport(), result);
  }
  return OutcomeOf(result);
}

}  // namespace

Outcome Bench(const Settings& settings) {
  absl::StatusOr<Metadata> metadata = MetadataOf(settings.headers);
  if (!metadata.ok()) return Outcome::Because(kUsage, std::string(metadata.status().message()));
  const auto channel = ConnectTo(settings.address, settings.deadline);
  if (!channel.ok()) return Outcome::OfConnect(channel.status());
  const auto schema = MakeSchema(settings, *channel);
  if (!schema.ok()) return OfSchema(schema.status());
  const auto method = (*schema)->FindMethod(settings.name);
  if (!method.ok()) return OfSchema(method.status());
  return Measure(settings, **method, *channel, *std::move(metadata));
}

}  // namespace nearcall::tools
