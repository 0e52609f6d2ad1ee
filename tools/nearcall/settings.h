// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "json.h"
#include "nearcall/call_options.h"
#include "nearcall/channel.h"
#include "nearcall/priority.h"
#include "outcome.h"
#include "schema.h"

namespace nearcall::tools {

// How `stat`, `trace` and `bench` print.
enum class Format { kText, kJson, kPrometheus };

// What the command line says.
struct Settings {
  std::string address;
  std::string name;  // of a service, a symbol or a method

  absl::Duration timeout = absl::Seconds(10);
  absl::Time deadline = absl::InfiniteFuture();  // of all that is done, once it has begun

  std::vector<std::string> protosets;
  std::vector<std::string> protos;
  std::vector<std::string> import_paths;

  std::optional<std::string> data;   // -d
  std::vector<std::string> headers;  // -H, "name: value"
  std::optional<Priority> priority;
  JsonStyle json;
  bool verbose = false;

  size_t count = 1000;  // of pings

  // --- stat ---
  Format format = Format::kText;
  size_t rounds = 0;  // 0: until it is interrupted
  absl::Duration interval = absl::Seconds(1);

  // --- trace and bench ---
  std::optional<size_t> calls;  // unset: until it is interrupted; as many as come in `duration`

  // --- bench ---
  std::optional<double> rate;  // calls a second; unset: as many as the callers can
  size_t concurrency = 1;      // callers
  size_t connections = 1;
  std::optional<absl::Duration> duration;  // unset: 5 s, or as long as `calls` take

  bool has_files() const { return !protosets.empty() || !protos.empty(); }
};

// A channel to the server, or why there is none.
absl::StatusOr<std::shared_ptr<Channel>> ConnectTo(const std::string& address, absl::Time deadline);

// Of files, if there are any; else of the server at `channel`.
absl::StatusOr<std::unique_ptr<Schema>> MakeSchema(const Settings& settings, std::shared_ptr<Channel> channel);

// Of one that a schema does not give.
Outcome OfSchema(const absl::Status& status);

}  // namespace nearcall::tools
