# SPDX-License-Identifier: Apache-2.0
#
# Comments of their own lines as Doxygen reads them. What is indented by four is code, and stays; in the rest nothing is
# markup.
/^ *\/\/( |$)/ {
  /^ *\/\/ {5}/! {
    s/\\/\\\\/g
    s/</\\</g
    s/@/\\@/g
    s/#/\\#/g
  }
  s,^( *)//,\1///,
}
