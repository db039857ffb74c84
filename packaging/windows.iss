; Inno Setup: the installer for Windows, from the folder that build.py made.
;
;     iscc /DVersion=0.1.0 packaging\windows.iss

#ifndef Version
  #error Say which version: /DVersion=0.1.0
#endif

[Setup]
; Never changes: by it an installed version is found and replaced.
AppId={{7C0B5B0B-4E0D-4B7C-9C55-0F5C2E6E9A41}
AppName=folderdenoise
AppVersion={#Version}
AppPublisher=The folderdenoise founders
DefaultDirName={autopf}\folderdenoise
DisableProgramGroupPage=yes
; Without an administrator it goes into the user's own folder.
PrivilegesRequired=lowest
PrivilegesRequiredOverridesAllowed=dialog
ArchitecturesAllowed=x64compatible
ArchitecturesInstallIn64BitMode=x64compatible
Compression=lzma2
SolidCompression=yes
OutputDir=..\dist
OutputBaseFilename=folderdenoise-{#Version}-windows-x86_64-setup
LicenseFile=..\LICENSE
UninstallDisplayIcon={app}\folderdenoise.exe
WizardStyle=modern
ChangesEnvironment=yes

[Languages]
Name: "en"; MessagesFile: "compiler:Default.isl"
Name: "de"; MessagesFile: "compiler:Languages\German.isl"

[CustomMessages]
en.Path=Add the command folderdenoise to the terminal
de.Path=Den Befehl folderdenoise im Terminal verfügbar machen
en.Denoise=Denoise with folderdenoise
de.Denoise=Mit folderdenoise entrauschen

[Tasks]
Name: "desktopicon"; Description: "{cm:CreateDesktopIcon}"
Name: "path"; Description: "{cm:Path}"; Flags: unchecked

[InstallDelete]
; Libraries of an older version must not stay behind.
Type: filesandordirs; Name: "{app}\_internal"

[Files]
Source: "..\dist\folderdenoise\*"; DestDir: "{app}"; Flags: recursesubdirs ignoreversion

[Icons]
Name: "{autoprograms}\folderdenoise"; Filename: "{app}\folderdenoise.exe"
Name: "{autodesktop}\folderdenoise"; Filename: "{app}\folderdenoise.exe"; Tasks: desktopicon

[Registry]
; In the menu of a folder: right click, "Denoise with folderdenoise".
Root: HKA; Subkey: "Software\Classes\Directory\shell\folderdenoise"; ValueType: string; ValueData: "{cm:Denoise}"; Flags: uninsdeletekey
Root: HKA; Subkey: "Software\Classes\Directory\shell\folderdenoise"; ValueType: string; ValueName: "Icon"; ValueData: "{app}\folderdenoise.exe"
Root: HKA; Subkey: "Software\Classes\Directory\shell\folderdenoise\command"; ValueType: string; ValueData: """{app}\folderdenoise.exe"" ""%1"""
Root: HKCU; Subkey: "Environment"; ValueType: expandsz; ValueName: "Path"; ValueData: "{olddata};{app}"; Tasks: path; Check: NotInPath

[Code]
function NotInPath(): Boolean;
var
  Value: string;
begin
  Result := not RegQueryStringValue(HKCU, 'Environment', 'Path', Value) or (Pos(ExpandConstant('{app}'), Value) = 0);
end;

[Run]
Filename: "{app}\folderdenoise.exe"; Description: "{cm:LaunchProgram,folderdenoise}"; Flags: nowait postinstall skipifsilent
