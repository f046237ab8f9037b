-- What a NAS may ask beyond PAP and EAP. A column may be missing, as it is in what the history has of NASs before this.

alter table access.nas add column may_chap boolean;
