; Recipe of the Windows installer, for Inno Setup 6.3 or newer. packaging/freeze.py --setup gives Version, Folder, Output, Icon and License.
; A project is a folder, and Windows gives folders no type: folders named *.kinmark get an entry of their own in the context menu.

[Setup]
AppId={{ACDB6FF7-8E85-418A-A148-43BC7AF5E790}
AppName=Kinmark
AppVersion={#Version}
AppPublisher=The Kinmark authors
DefaultDirName={autopf}\Kinmark
DisableProgramGroupPage=yes
PrivilegesRequired=lowest
PrivilegesRequiredOverridesAllowed=dialog
ArchitecturesAllowed=x64compatible
ArchitecturesInstallIn64BitMode=x64compatible
LicenseFile={#License}
SetupIconFile={#Icon}
UninstallDisplayIcon={app}\kinmark.exe
OutputDir={#Output}
OutputBaseFilename=Kinmark-{#Version}-setup
Compression=lzma2/fast
SolidCompression=yes
ChangesAssociations=yes

[Languages]
Name: "en"; MessagesFile: "compiler:Default.isl"
Name: "de"; MessagesFile: "compiler:Languages\German.isl"

[CustomMessages]
en.OpenFolder=Open in Kinmark
de.OpenFolder=In Kinmark öffnen

[Files]
Source: "{#Folder}\*"; DestDir: "{app}"; Flags: recursesubdirs createallsubdirs ignoreversion

[Icons]
Name: "{autoprograms}\Kinmark"; Filename: "{app}\kinmark.exe"; Parameters: "app"

[Registry]
Root: HKA; Subkey: "Software\Classes\Directory\shell\Kinmark"; ValueType: string; ValueData: "{cm:OpenFolder}"; Flags: uninsdeletekey
Root: HKA; Subkey: "Software\Classes\Directory\shell\Kinmark"; ValueType: string; ValueName: "Icon"; ValueData: "{app}\kinmark.exe"
Root: HKA; Subkey: "Software\Classes\Directory\shell\Kinmark"; ValueType: string; ValueName: "AppliesTo"; ValueData: "System.FileName:""*.kinmark"""
Root: HKA; Subkey: "Software\Classes\Directory\shell\Kinmark\command"; ValueType: string; ValueData: """{app}\kinmark.exe"" app ""%1"""
