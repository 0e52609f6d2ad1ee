// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <limits>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "commands.h"
#include "interruption.h"
#include "nearcall/stats/v1/stats.nearcall.pb.h"
#include "stats_outcome.h"
#include "table.h"
#include "trace_lines.h"

namespace nearcall::tools {

namespace {

using stats::v1::TraceRequest;
using stats::v1::TraceResponse;

// What one trace prints.
class Shown {
 public:
  explicit Shown(const Settings& settings)
      : settings_(settings),
        lines_(Look::OfOutput()),
        left_(settings.calls.value_or(std::numeric_limits<size_t>::max())) {}

  void Begin() const {
    if (settings_.format == Format::kText) Print(lines_.Head());
  }

  // Not OK: it cannot be shown.
  absl::Status Show(const TraceResponse& response) {
    for (const stats::v1::Call& call : response.calls()) {
      if (left_ == 0) return absl::OkStatus();
      if (absl::Status shown = Show(call); !shown.ok()) return shown;
      --left_;
    }
    if (response.dropped() == 0) return absl::OkStatus();
    Print(settings_.format == Format::kJson ? absl::StrCat("{\"dropped\":", response.dropped(), "}\n")
                                            : lines_.Dropped(response.dropped()));
    return absl::OkStatus();
  }

  // As many as were asked for.
  bool complete() const { return left_ == 0; }

 private:
  absl::Status Show(const stats::v1::Call& call) {
    if (settings_.format == Format::kText) {
      Print(lines_.Of(call));
      return absl::OkStatus();
    }
    const absl::StatusOr<std::string> json = ToJson(call, {.defaults = true});
    if (json.ok()) Print(absl::StrCat(*json, "\n"));
    return json.status();
  }

  static void Print(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }

  const Settings& settings_;
  TraceLines lines_;
  size_t left_;
};

}  // namespace

Outcome Trace(const Settings& settings) {
  const auto channel = ConnectTo(settings.address, settings.deadline);
  if (!channel.ok()) return Outcome::OfConnect(channel.status());
  TraceRequest request;
  request.set_method(settings.name);
  const auto stream = stats::v1::Stats::Stub(*channel).Trace(request);
  Interruption interruption(settings.deadline, [&stream] { stream->Cancel(); });
  Shown shown(settings);
  TraceResponse response;
  absl::Status status;
  for (bool first = true; status.ok() && !shown.complete() && stream->Read(&response); first = false) {
    interruption.NoteBegun();
    if (first) shown.Begin();
    status = shown.Show(response);
  }
  if (!status.ok() || shown.complete()) stream->Cancel();
  const absl::Status ended = stream->Finish();
  if (!status.ok()) return Outcome::OfCall(status);
  if (shown.complete() || interruption.by_user()) return {};
  if (interruption.too_late()) {
    return Outcome::OfCall(absl::DeadlineExceededError("the server did not answer in time (--timeout)"));
  }
  // One of ours never does.
  if (ended.ok()) return Outcome::OfCall(absl::InternalError("the server has ended the trace without saying why"));
  return OfStats(ended);
}

}  // namespace nearcall::tools
