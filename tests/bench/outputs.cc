// SPDX-License-Identifier: Apache-2.0
#include "bench/outputs.h"

#include <google/protobuf/util/json_util.h>
#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "bench/subject.h"
#include "bench/worker.h"
#include "report.pb.h"

namespace nearcall::bench {

namespace {

// Fills what `get` returns, which makes it present.
template <typename Message>
void Fill(const Series& series, Message& message, ::bench::Spread* (Message::*get)()) {
  if (series.empty()) return;
  ::bench::Spread& spread = *(message.*get)();
  spread.set_min(series.min());
  spread.set_median(series.median());
  spread.set_max(series.max());
}

void Fill(const Conditions& conditions, ::bench::Context& context) {
  utsname name{};
  ::uname(&name);
  context.set_kernel(name.release);
  context.set_cpus(std::thread::hardware_concurrency());
  context.set_with_grpc(HasGrpc());
  for (const std::string& objection : conditions.Objections()) context.add_objections(objection);
  context.set_others_share(conditions.others_share());
  Fill(conditions.line_us(), context, &::bench::Context::mutable_f_line);
  context.set_near(conditions.near());
}

void Fill(const Measurement& m, ::bench::Calls& calls) {
  calls.set_section(m.section);
  calls.set_variant(m.variant);
  calls.set_who(m.who);
  calls.set_placement(m.placement);
  calls.set_size_bytes(static_cast<uint32_t>(m.batch.size));
  calls.set_gap(static_cast<double>(m.batch.gap_ns) / 1000);
  calls.set_clients(m.clients);
  calls.set_threads(m.batch.threads);
  calls.set_in_flight(std::max(1, m.batch.in_flight));
  calls.set_count(static_cast<uint32_t>(m.latency.count()));
  Fill(m.p50_us, calls, &::bench::Calls::mutable_p50);
  Fill(m.p99_us, calls, &::bench::Calls::mutable_p99);
  calls.set_p999(m.latency.Percentile(0.999));
  Fill(m.calls_per_second, calls, &::bench::Calls::mutable_calls_per_second);
  calls.set_gigabytes_per_second(m.gigabytes_per_second());
  Fill(m.fairness, calls, &::bench::Calls::mutable_most_over_least_calls);
  calls.set_client_cpu_per_call(m.client_cpu_us.median());
  calls.set_server_cpu_per_call(m.server_cpu_us.median());
}

void Fill(const Target& target, ::bench::Goal& goal) {
  goal.set_row(target.row);
  goal.set_what(target.what);
  goal.set_unit(target.unit);
  goal.set_at_least(target.at_least);
  if (target.measured) goal.set_measured(*target.measured);
  if (target.must) goal.set_must(*target.must);
  if (target.aim) goal.set_aim(*target.aim);
  goal.set_verdict(ToString(target.state()));
}

void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) Die(absl::StrCat("cannot write ", path));
}

void WriteJson(const std::string& path, const Plan& plan, const Journal& journal, const std::vector<Target>& targets,
               const Conditions& conditions) {
  ::bench::Report report;
  Fill(conditions, *report.mutable_context());
  report.mutable_context()->set_full(plan.full);
  for (const Measurement& measurement : journal.measurements()) Fill(measurement, *report.add_calls());
  for (const Figure& figure : journal.figures()) {
    ::bench::Number& number = *report.add_numbers();
    number.set_section(figure.section);
    number.set_name(figure.name);
    number.set_unit(figure.unit);
    Fill(figure.values, number, &::bench::Number::mutable_value);
  }
  for (const Target& target : targets) Fill(target, *report.add_goals());
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  options.preserve_proto_field_names = true;
  options.always_print_primitive_fields = true;
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(report, &json, options).ok()) Die("no JSON of this");
  WriteFile(path, json);
}

constexpr char kLatencyVariant[] = "apart, back to back";

// What the picture shows of each, in its legend's order.
constexpr absl::string_view kGrpc = "gRPC";  // the better of its servers
constexpr absl::string_view kCurves[] = {"F_line", "shm",    "F_sem", "shm, no spin", "F_mq",
                                         "mq",     "F_pipe", "pipe",  "F_uds",        "gRPC"};
constexpr absl::string_view kRates[] = {"shm", "raw loop", "mq", "pipe", "gRPC"};

// For each percentile, as one over the share of the calls that take longer: the latency.
std::string DistributionCurve(const tools::Histogram& latency) {
  std::string curve;
  for (double longer = 1; longer * static_cast<double>(latency.count()) >= 5; longer /= 1.25) {
    absl::StrAppend(&curve, 1 / longer, " ", latency.Percentile(1 - longer), "\n");
  }
  return curve;
}

// The throughput by the number of clients.
std::string RateCurve(const Journal& journal, absl::string_view who) {
  std::string curve;
  for (const char* clients : {"1", "8", "64", "256"}) {
    const Measurement* found =
        who == kGrpc ? journal.FindGrpc("clients", clients, &Measurement::calls_per_second, Journal::Better::kMore)
                     : journal.Find("clients", clients, std::string(who));
    if (found != nullptr) absl::StrAppend(&curve, clients, " ", found->calls_per_second.median(), "\n");
  }
  return curve;
}

// What one has to know of the run.
std::string Caption(const Conditions& conditions) {
  const std::vector<std::string> objections = conditions.Objections();
  std::string caption =
      absl::StrFormat("%d CPUs; others used %.1f %% of the machine; F_line %s us", std::thread::hardware_concurrency(),
                      conditions.others_share() * 100, conditions.line_us().ToString());
  if (!objections.empty()) absl::StrAppend(&caption, "; NOT A RESULT: ", absl::StrJoin(objections, "; "));
  return caption + "\n";
}

// Nothing if it was not measured. Blocks for gnuplot, which numbers them, each headed by the curve's name.
void WritePictureData(const std::string& directory, const Journal& journal, const Conditions& conditions) {
  if (journal.Find("latency", kLatencyVariant, "shm") == nullptr || journal.Find("clients", "1", "shm") == nullptr)
    return;
  std::filesystem::create_directories(directory);
  WriteFile(directory + "/caption", Caption(conditions));
  std::vector<std::string> latencies;
  for (const absl::string_view who : kCurves) {
    const Measurement* found =
        who == kGrpc ? journal.FindGrpc("latency", kLatencyVariant, &Measurement::p50_us, Journal::Better::kLess)
                     : journal.Find("latency", kLatencyVariant, std::string(who));
    if (found != nullptr) latencies.push_back(absl::StrCat("\"", who, "\"\n", DistributionCurve(found->latency)));
  }
  std::vector<std::string> rates;
  for (const absl::string_view who : kRates) rates.push_back(absl::StrCat("\"", who, "\"\n", RateCurve(journal, who)));
  WriteFile(directory + "/latencies", absl::StrJoin(latencies, "\n\n"));
  WriteFile(directory + "/rates", absl::StrJoin(rates, "\n\n"));
}

}  // namespace

void WriteOutputs(const OutputFiles& files, const Plan& plan, const Journal& journal,
                  const std::vector<Target>& targets, const Conditions& conditions) {
  if (!files.json.empty()) WriteJson(files.json, plan, journal, targets, conditions);
  if (!files.picture_data.empty()) WritePictureData(files.picture_data, journal, conditions);
}

}  // namespace nearcall::bench
