// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <set>
#include <string>
#include <vector>

#include "bench/journal.h"
#include "bench/plan.h"

namespace nearcall::bench {

// A part of the benchmark: measures, and writes into the journal.
struct Section {
  const char* name;
  std::vector<int> rows;  // of the table of targets, that it measures for
  void (*measure)(const Plan& plan, Journal& journal);
};

const std::vector<Section>& Sections();

void MeasureLatency(const Plan& plan, Journal& journal);      // one caller, by placement and idleness
void MeasureSizes(const Plan& plan, Journal& journal);        // one caller, by size of the message
void MeasureAttachments(const Plan& plan, Journal& journal);  // memory that is passed, by its size
void MeasureFrames(const Plan& plan, Journal& journal);       // what decoders and cameras do with it
void MeasureInFlight(const Plan& plan, Journal& journal);     // asynchronous calls
void MeasureClients(const Plan& plan, Journal& journal);      // many client processes
void MeasureThreads(const Plan& plan, Journal& journal);      // many threads on one channel
void MeasureIdle(const Plan& plan, Journal& journal);         // what 1000 silent connections cost
void MeasureUrgent(const Plan& plan, Journal& journal);       // urgent calls beside bulk
void MeasurePace(const Plan& plan, Journal& journal);         // CPU of calls that come at a steady rate
void MeasureConnect(const Plan& plan, Journal& journal);      // to the first reply
void MeasureDeath(const Plan& plan, Journal& journal);        // of the server, to UNAVAILABLE
void MeasureSyscalls(const Plan& plan, Journal& journal);     // of both sides, for each call
void MeasureStreams(const Plan& plan, Journal& journal);      // elements, dialogues, coroutines
void MeasureWaiting(const Plan& plan, Journal& journal);      // many handlers that wait
void MeasureCompile(const Plan& plan, Journal& journal);      // what generated code costs the compiler

}  // namespace nearcall::bench
