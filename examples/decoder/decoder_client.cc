// SPDX-License-Identifier: Apache-2.0

// decoder_client /path/to/decoder_server: has three files decoded, of which one is not what it seems.
#include <iostream>
#include <string>

#include "absl/strings/str_cat.h"
#include "decoder.nearcall.pb.h"

namespace {

const std::string kHarmless("\x04\x02r\x08*", 5);
const std::string kEvil("\x04\x02s\xff\xff\xff\x7fr\x01*", 10);  // writes two GiB behind its eight pixels

void Show(const decoder::Decoder::Stub& decoder, const std::string& name, const std::string& file) {
  decoder::DecodeRequest request;
  request.set_file(file);
  absl::StatusOr<decoder::Picture> picture = decoder.Decode(request, {.timeout = absl::Seconds(10)});
  std::cout << name << ": ";
  if (picture.ok()) {
    std::cout << picture->width() << " x " << picture->height() << " pixels\n";
  } else {
    std::cout << picture.status().message() << "\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  nearcall::ChannelOptions options;
  options.exec.inherit_env = false;  // nothing of ours is its business
  auto channel = nearcall::Channel::Connect(absl::StrCat("exec:", argv[1]), options);
  if (!channel.ok()) {
    std::cerr << channel.status() << "\n";
    return 1;
  }
  const decoder::Decoder::Stub decoder(*channel);
  Show(decoder, "harmless", kHarmless);
  Show(decoder, "evil", kEvil);
  Show(decoder, "harmless again", kHarmless);
}
