// SPDX-License-Identifier: Apache-2.0
#include "flags.h"

#include <functional>
#include <optional>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace nearcall::tools {

namespace {

// "5" and "0.5" are seconds; "inf": for ever.
std::string ParseDuration(const std::string& flag, const std::string& text, absl::Duration& duration) {
  double seconds = 0;
  if (absl::SimpleAtod(text, &seconds) && text != "inf") {
    duration = absl::Seconds(seconds);
  } else if (!absl::ParseDuration(text, &duration)) {
    return absl::StrCat(flag, " ", text, ": expected seconds, or 500ms, 2m, inf");
  }
  return duration > absl::ZeroDuration() ? "" : flag + " must be more than zero";
}

std::string ParsePriority(const std::string& text, std::optional<Priority>& priority) {
  if (text == "low") priority = Priority::kLow;
  if (text == "normal") priority = Priority::kNormal;
  if (text == "high") priority = Priority::kHigh;
  if (text == "urgent") priority = Priority::kUrgent;
  return priority.has_value() ? "" : "--priority " + text + ": expected low, normal, high or urgent";
}

CLI::Option& AddDuration(CLI::App& command, const std::string& flag, const std::string& usual, const std::string& about,
                         std::function<void(absl::Duration)> set) {
  return *command
              .add_option_function<std::string>(
                  flag,
                  [flag, set = std::move(set)](const std::string& text) {
                    absl::Duration duration;
                    const std::string why = ParseDuration(flag, text, duration);
                    if (!why.empty()) throw CLI::ValidationError(why);
                    set(duration);
                  },
                  about)
              ->default_str(usual);
}

}  // namespace

void AddTimeout(CLI::App& command, Settings& settings, const char* of_what) {
  AddDuration(command, "--timeout", "10s", absl::StrCat("for ", of_what, " (seconds, or 500ms, 2m, inf)"),
              [&settings](absl::Duration timeout) { settings.timeout = timeout; });
}

void AddFiles(CLI::App& command, Settings& settings) {
  command.add_option("--protoset", settings.protosets, "a descriptor set in place of reflection (may be repeated)")
      ->allow_extra_args(false);
  command.add_option("--proto", settings.protos, "a .proto file in place of reflection (may be repeated)")
      ->allow_extra_args(false);
  command.add_option("-I,--import-path", settings.import_paths, "where --proto and its imports are found")
      ->allow_extra_args(false);
}

void AddPriority(CLI::App& command, Settings& settings) {
  command.add_option_function<std::string>(
      "--priority",
      [&settings](const std::string& text) {
        if (std::string why = ParsePriority(text, settings.priority); !why.empty()) throw CLI::ValidationError(why);
      },
      "low, normal, high or urgent");
}

void AddHeaders(CLI::App& command, Settings& settings) {
  command.add_option("-H,--header", settings.headers, "metadata, \"name: value\" (may be repeated)")
      ->allow_extra_args(false);
}

void AddStatFlags(CLI::App& command, Settings& settings) {
  AddDuration(command, "--interval", "1s", "from one table to the next",
              [&settings](absl::Duration interval) { settings.interval = interval; });
  CLI::Option* const once = command.add_flag_callback(
      "--once", [&settings] { settings.rounds = 1; }, "one table, with rates since the server's start");
  command.add_option("-n,--count", settings.rounds, "how many tables; 0: until it is interrupted")->excludes(once);
  CLI::Option* const json = command.add_flag_callback(
      "--json", [&settings] { settings.format = Format::kJson; }, "what each server tells, a line of JSON each time");
  command
      .add_flag_callback(
          "--prometheus",
          [&settings] {
            settings.format = Format::kPrometheus;
            settings.rounds = 1;
          },
          "once, as a text that Prometheus reads")
      ->excludes(json);
}

void AddTraceFlags(CLI::App& command, Settings& settings) {
  command.add_option("-n,--count", settings.calls, "ends after so many calls")->check(CLI::PositiveNumber);
  command.add_flag_callback(
      "--json", [&settings] { settings.format = Format::kJson; }, "each call as a line of JSON");
}

void AddBenchFlags(CLI::App& command, Settings& settings) {
  command.add_option("-d,--data", settings.data, "what is sent each time, in JSON: a text, @FILE, or @-");
  command.add_option("--rate", settings.rate, "calls a second: an open loop; else each caller calls again at once")
      ->check(CLI::Range(0.001, 1e8));
  command.add_option("-c,--concurrency", settings.concurrency, "callers at once")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
  command.add_option("--connections", settings.connections, "which the callers use in turn")
      ->check(CLI::Range(1, 1'000))
      ->capture_default_str();
  command.add_option("-n,--count", settings.calls, "ends after so many calls")->check(CLI::PositiveNumber);
  AddDuration(command, "--duration", "5s, unless there is a count", "ends after so long",
              [&settings](absl::Duration duration) { settings.duration = duration; });
  command.add_flag_callback(
      "--json", [&settings] { settings.format = Format::kJson; }, "the result as one line of JSON");
}

}  // namespace nearcall::tools
