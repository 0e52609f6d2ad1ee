// SPDX-License-Identifier: Apache-2.0

// Loads two plug-ins into one process. (With an archive in each, protobuf would end the process at the second.)
#include <dlfcn.h>

#include <cstdio>

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    void* const plugin = ::dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
    if (plugin == nullptr || ::dlsym(plugin, "plugin_name") == nullptr) {
      std::fprintf(stderr, "%s\n", ::dlerror());
      return 1;
    }
  }
  return 0;
}
