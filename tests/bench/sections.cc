// SPDX-License-Identifier: Apache-2.0
#include "bench/sections.h"

namespace nearcall::bench {

const std::vector<Section>& Sections() {
  static const std::vector<Section> sections = {
      {"latency", {1, 2, 3, 4, 14}, MeasureLatency},
      {"sizes", {7, 8, 15}, MeasureSizes},
      {"attachments", {}, MeasureAttachments},
      {"frames", {}, MeasureFrames},
      {"in_flight", {5}, MeasureInFlight},
      {"clients", {9, 10}, MeasureClients},
      {"threads", {10}, MeasureThreads},
      {"idle", {11, 12, 13}, MeasureIdle},
      {"urgent", {16}, MeasureUrgent},
      {"pace", {21}, MeasurePace},
      {"streams", {17, 23}, MeasureStreams},
      {"waiting", {24}, MeasureWaiting},
      {"connect", {18}, MeasureConnect},
      {"death", {19}, MeasureDeath},
      {"syscalls", {6}, MeasureSyscalls},
      {"compile", {20}, MeasureCompile},
  };
  return sections;
}

}  // namespace nearcall::bench
