# The closure of a small machine in the layout of NixOS, and a secret of another machine in the same
# store. Needs no nixpkgs and no network: its programs are those of the machine that builds it.
#   busybox  folder with bin/busybox and the links to it that builders and the machine use
#   nix      folder with bin/nix, and in lib/ its loader and libraries
#   stage2   what the system's init does
{ busybox, nix, stage2 }:
let
  busyboxPath = builtins.path { path = busybox; name = "busybox"; };
  nixFiles = builtins.path { path = nix; name = "nix-files"; };
  stage2Path = builtins.path { path = stage2; name = "stage-2"; };

  build = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "${busyboxPath}/bin/sh";
    args = [ "-e" "-c" script ];
    PATH = "${busyboxPath}/bin";
  };

  # The loader is named, since the program's own is not in the store.
  nixPath = build "nix" ''
    mkdir -p $out/bin
    for name in nix nix-store nix-build nix-instantiate; do
      {
        echo '#!${busyboxPath}/bin/sh'
        echo "exec ${nixFiles}/lib/ld-linux-x86-64.so.2 --argv0 $name" \
          '--library-path ${nixFiles}/lib ${nixFiles}/bin/nix "$@"'
      } >$out/bin/$name
      chmod +x $out/bin/$name
    done
  '';

  systemPath = build "system-path" ''
    mkdir -p $out/bin
    for program in ${busyboxPath}/bin/* ${nixPath}/bin/*; do ln -s $program $out/bin/; done
  '';
in
{
  toplevel = build "nixos-system-guest" ''
    mkdir $out
    ln -s ${systemPath} $out/sw
    sed "s|@path@|${systemPath}|; s|@shell@|${busyboxPath}/bin/sh|" ${stage2Path} >$out/init
    chmod +x $out/init
  '';

  # Built into the same store, and nothing of the system refers to it.
  secret = build "secret-of-another-machine" ''
    mkdir $out
    echo the-key-of-another-machine >$out/key
  '';
}
